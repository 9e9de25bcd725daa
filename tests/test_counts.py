"""Counts in messages."""

from __future__ import annotations

from unidet.counts import counted


def test_one_of_a_thing_is_no_plural() -> None:
    assert [counted(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(count, "box", "boxes") for count in (1, 2)] == ["1 box", "2 boxes"]
