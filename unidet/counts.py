"""Counts in messages: one box, two boxes."""

from __future__ import annotations


def counted(count: int, one: str, several: str = "") -> str:
    """`1 image`, `2 images`; `several` is the plural of words that do not only take an s."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"
