"""Indices of annotation files."""

from __future__ import annotations

from pathlib import Path

from unidet.data.readers import ReadReport, split_of
from unidet.formats.annotations import read_annotations
from unidet.records import Split


def read_split(annotations: Path, images: Path | None, *, name: str) -> tuple[Split, ReadReport]:
    """The index of a file, and what became of its records."""
    return split_of(read_annotations(annotations), images, name=name)
