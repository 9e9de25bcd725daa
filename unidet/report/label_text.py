"""Names of any length and content as text in a figure."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""DejaVu, which Matplotlib carries: no font need be installed."""
_TAIL = 6  # characters kept at the end: a score often stands there


def label(text: str, most: int = 40) -> str:
    """One line of at most `most` characters, shortened in its middle, that the font can show.

    A control character becomes a space, one that the font lacks a box: Matplotlib would warn of
    either, and a long name would leave a figure no room.
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
