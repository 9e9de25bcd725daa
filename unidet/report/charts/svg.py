"""SVG as text: elements with escaping, and charts to place on a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Literal

SERIES = 8
"""Number of colours and dash patterns; the style sheet defines them as s0 … s7."""


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: heading of the chart.
        svg: the drawing, without title.
        says: description in words, for screen readers.
        legend: (series, name) of its lines in order; empty for a single line.
        note: text under the chart.
        mark: symbol before a name in the legend.
    """

    title: str
    svg: str
    says: str
    legend: list[tuple[int, str]] = field(default_factory=list)
    note: str = ""
    mark: Literal["line", "dot", "bar"] = "line"


def element(name: str, text: str | None = None, **attributes: object) -> str:
    """`<name …>text</name>`; `text` is SVG and is not escaped, attributes are.

    In attribute names `_` becomes `-`, and a trailing `_` is dropped (`class_`). Floats have at
    most two decimals.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(str(shown))}"')
    opened = " ".join(parts)
    return f"<{opened}/>" if text is None else f"<{opened}>{text}</{name}>"


def words(text: str, x: float, y: float, **attributes: object) -> str:
    """A text element at a position, with any text."""
    return element("text", escape(plain(text), quote=False), x=float(x), y=float(y), **attributes)


def hint(text: str) -> str:
    """A tooltip."""
    return element("title", escape(plain(text), quote=False))


def plain(text: str) -> str:
    """Text on one line: control characters, which XML does not allow, become spaces."""
    return "".join(mark if mark.isprintable() else " " for mark in text)


def shortened(text: str, most: int) -> str:
    """Text of at most `most` characters, shortened in the middle."""
    text = plain(text)
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
