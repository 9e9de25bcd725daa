"""`unidet data stats`: what sets consist of, and what their label spaces have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.study import Config
from unidet.console.terminal import fold
from unidet.counts import counted
from unidet.data.overlap import LabelSpace, Overlap, overlaps
from unidet.data.readers import split_of
from unidet.data.stats import Statistics, areas, statistics_of
from unidet.errors import UserError
from unidet.formats.annotations import annotations_of
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.engine.states import built
from unidet.pipelines.wiring.embedding_artefacts import EMBEDDINGS, read_stored
from unidet.pipelines.wiring.named_data import NamedData
from unidet.pipelines.wiring.study_sets import knows_text
from unidet.records import Split
from unidet.store.disk import whole_file

_SHOWN_NAMES = 12
Embeddings = Mapping[str, tuple[list[str], np.ndarray]]
"""Vocabulary -> its names and their (C, D) text embeddings."""


def stats(
    sets: Iterable[NamedData], embeddings: Embeddings, picture: Path | None
) -> tuple[dict[str, Any], list[str]]:
    """Values for programs and lines for people; draws a figure where `picture` names one."""
    splits: dict[str, Split] = {}
    spaces: dict[str, LabelSpace] = {}
    for data in sets:
        split, _ = split_of(annotations_of(data.file, data.read()), data.images, name=data.name)
        splits[data.name] = split
        names, vectors = embeddings.get(data.vocabulary, ([], None))
        is_known = names == [category.name for category in split.categories]
        spaces.setdefault(
            data.vocabulary, LabelSpace(split.categories, vectors if is_known else None)
        )
    counted = {name: statistics_of(split) for name, split in splits.items()}
    common = overlaps(spaces)
    lines = [line for name, entry in counted.items() for line in _lines(name, entry)]
    for pair in combinations(spaces, 2):
        lines += _overlap_lines(*pair, common[pair])
    if picture is not None:
        from unidet.report.plots import data_overview

        boxes = {name: areas(split) ** 0.5 for name, split in splits.items()}
        with whole_file(picture) as partial:
            data_overview(counted, boxes, common, partial)
        lines.append(str(picture))
    return {
        "sets": {name: asdict(entry) for name, entry in counted.items()},
        "shared_names": {
            f"{one}, {other}": [*common[one, other].names] for one, other in combinations(spaces, 2)
        },
        "overlaps": {f"{one} in {other}": asdict(entry) for (one, other), entry in common.items()},
    }, lines


def built_embeddings(config: Config) -> Embeddings:
    """Those of the study's vocabularies that stage `clip_embeddings` has made."""
    if not knows_text(config):
        return {}
    store = open_store(config)
    try:
        actions = built("clip_embeddings", config, store)
    except UserError:  # files that only the stage needs are not here
        return {}
    embeddings = {}
    for node, action in actions.items():
        if node.stage == "clip_embeddings":
            vectors, names = read_stored(store.folder(action) / EMBEDDINGS)
            embeddings[node.name] = names, vectors
    return embeddings


def _overlap_lines(one: str, other: str, overlap: Overlap) -> Iterator[str]:
    names = overlap.names
    yield from fold(f"{one}, {other}: {counted(len(names), 'name')} in common{_some([*names])}", "")
    if overlap.cosine is None:
        return
    pairs = [f"{name} ~ {theirs} {cosine:.2f}" for name, theirs, cosine in overlap.nearest]
    yield from fold(
        f"by embedding: cosine to the nearest name of {other} {overlap.cosine:.2f} on average; "
        f"nearest of the {counted(len(pairs), 'other')}{_some(pairs)}"
    )


def _lines(name: str, entry: Statistics) -> Iterator[str]:
    crowds = f" ({counted(entry.crowds, 'crowd')})" if entry.crowds else ""
    images, boxes = counted(entry.images, "image"), counted(entry.boxes, "box", "boxes")
    yield f"{name}: {images}, {boxes}{crowds}, {counted(len(entry.by_name), 'name')}"
    smallest, median, largest = (f"{width}x{height}" for width, height in entry.sides)
    yield f"  images {smallest} to {largest}, median {median}"
    mean, most = entry.boxes_an_image
    small, medium, large = entry.by_size
    yield f"  boxes an image: {mean:.1f}, at most {most}"
    yield f"  small (below 32² pixels) {small}, medium {medium}, large (from 96²) {large}"
    shown = [f"{text} {boxes}" for text, (boxes, _) in entry.by_name.items() if boxes]
    yield from fold(f"boxes by name{_some(shown)}")
    absent = [text for text, (boxes, _) in entry.by_name.items() if not boxes]
    if absent:
        yield from fold(f"{counted(len(absent), 'name')} without a box{_some(absent)}")


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN_NAMES} more" if len(texts) > _SHOWN_NAMES else ""
    return f": {', '.join(texts[:_SHOWN_NAMES])}{more}" if texts else ""
