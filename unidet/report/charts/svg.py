"""SVG as text: elements, their escaping, and the chart that a page places."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Literal

SERIES = 8
"""Colours and dash patterns there are; the style sheet defines them as s0 … s7."""


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: above it.
        svg: the figure, without title.
        says: what it shows, for who does not see it.
        legend: names of its lines in order; empty for a single one.
        note: below it.
        mark: what stands before a name of the legend: line, dot or bar.
    """

    title: str
    svg: str
    says: str
    legend: list[tuple[int, str]] = field(default_factory=list)
    note: str = ""
    mark: Literal["line", "dot", "bar"] = "line"


def element(name: str, text: str | None = None, **attributes: object) -> str:
    """`<name …>text</name>`; text is content already in SVG, attributes are escaped.

    `_` in a name stands for `-`, a trailing one is dropped (`class_`); numbers get two decimals.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(str(shown))}"')
    opened = " ".join(parts)
    return f"<{opened}/>" if text is None else f"<{opened}>{text}</{name}>"


def words(text: str, x: float, y: float, **attributes: object) -> str:
    """Text at a place, whatever it holds."""
    return element("text", escape(plain(text), quote=False), x=float(x), y=float(y), **attributes)


def hint(text: str) -> str:
    """What a pointer that rests on an element is told."""
    return element("title", escape(plain(text), quote=False))


def plain(text: str) -> str:
    """On one line, without control characters, which XML does not know."""
    return "".join(mark if mark.isprintable() else " " for mark in text)


def shortened(text: str, most: int) -> str:
    """At most `most` characters, cut in the middle."""
    text = plain(text)
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
