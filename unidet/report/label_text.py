"""Prepares names of any length and content as text in figures."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""DejaVu Sans, which Matplotlib contains, so that no font has to be installed."""
_TAIL = 6  # characters kept at the end, which is often a score


def label(text: str, most: int = 40) -> str:
    """`text` as one line of at most `most` characters, shortened in the middle.

    Control characters become spaces, and characters that the font lacks become boxes: Matplotlib
    would warn of both.
    """
    shown = "".join(_shown(mark) for mark in text)
    if len(shown) <= most:
        return shown
    return f"{shown[: most - _TAIL - 1]}…{shown[-_TAIL:]}"


def _shown(mark: str) -> str:
    if not mark.isprintable():
        return " "
    return mark if ord(mark) in _glyphs() else "□"


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(str(FONT)).get_charmap())


def boxed(names: Iterable[str]) -> list[str]:
    """The names of which `label` shows characters as boxes."""
    return [name for name in names if any(_shown(mark) == "□" != mark for mark in name)]
