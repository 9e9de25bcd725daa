"""Provenance: the part of a page that does not depend only on its inputs.

A report is an artefact: equal inputs give equal bytes. Who made the inputs, when, where and at what
cost is recorded beside artefacts. It is inserted at a placeholder in a copy of the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from unidet.errors import UserError
from unidet.report.charts.svg import plain
from unidet.report.html.render import PROVENANCE, TITLE, render
from unidet.report.html.tables import Column, Table

_REPORT = re.compile(r'<dl class="facts" data-report="([0-9a-f]+)">')


@dataclass(frozen=True)
class Made:
    """One artefact, as text for readers; `cost` is computing time."""

    label: str
    digits: str
    built: str
    host: str
    cost: str
    size: str
    code: str


@dataclass(frozen=True)
class Value:
    """A configuration value that differs from the experiment's."""

    key: str
    before: str
    now: str


@dataclass(frozen=True)
class RawFile:
    """Content from outside the store: the node that reads it, its name and its digest."""

    label: str
    name: str
    digits: str


@dataclass(frozen=True)
class Provenance:
    """Where a report comes from.

    Attributes:
        report: the first digits of its digest, by which a page is known again.
        commands: those that made its artefacts, each once.
        experiment: the one that it is a variation of.
        values: what differs from it; None where it is not at hand.
        total: of computing and of bytes, in words.
    """

    report: str
    commands: Sequence[str]
    experiment: str
    values: Sequence[Value] | None
    made: Sequence[Made]
    raw: Sequence[RawFile]
    hosts: Sequence[str]
    code: Sequence[str]
    built: str
    total: str


def reports_on(page: str) -> list[str]:
    """The digits of the reports that a page shows: one, or those that it compares."""
    return list(dict.fromkeys(_REPORT.findall(page)))


def with_provenance(page: str, provenance: Provenance, number: int = 1) -> str:
    """The page with its provenance, and with the experiment's name in its title and heading.

    Args:
        number: distinguishes the tables of several provenances on one page.

    Raises:
        UserError: the page has no placeholder for it.
    """
    before, mark, after = page.partition(PROVENANCE)
    if not mark:
        raise UserError("the report is of an earlier version; run its stage=report")
    heading = f"{TITLE} {escape(plain(provenance.experiment))}"
    before = before.replace(TITLE, heading, 2)
    return f"{before}{fragment(provenance, number)}{after}"


def fragment(provenance: Provenance, number: int = 1) -> Markup:
    """The provenance as HTML."""
    return Markup(
        render(
            "provenance.html",
            provenance=provenance,
            values=_values(provenance, number),
            made=_made(provenance, number),
        )
    )


def _values(provenance: Provenance, number: int) -> Table | None:
    if not provenance.values:
        return None
    columns = [
        Column("key", "key", "text"),
        Column("before", f"experiment={provenance.experiment}", "text"),
        Column("now", "here", "text"),
    ]
    cells = [[value.key, value.before, value.now] for value in provenance.values]
    caption = "Values that differ from the experiment's"
    return Table(f"values-{number}", caption, columns, cells)


def _made(provenance: Provenance, number: int) -> Table:
    titles = ("artefact", "digest", "built", "host", "computing", "size", "code")
    columns = [Column(title, title, "text") for title in titles]
    cells = [list(vars(item).values()) for item in provenance.made]
    return Table(
        f"made-{number}",
        "Artefacts, each before what it was made from",
        columns,
        cells,
        sortable=False,
    )
