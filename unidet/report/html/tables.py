"""Tables of a page: typed columns, and rows of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from unidet.report.study import FREQUENCY_NAMES, CategoryFigures, Confused

Kind = Literal["text", "tag", "int", "number", "bar", "share", "diff"]


@dataclass(frozen=True)
class Column:
    """`kind`: format of the cells; `says`: tooltip; `sorted`: initial order of the rows."""

    key: str
    title: str
    kind: Kind
    says: str = ""
    sorted: str = ""


@dataclass(frozen=True)
class Filter:
    """A choice among the values of a column: cell text -> label of the choice."""

    column: str
    label: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """`cells` of each row are in the order of `columns`; None is shown as a dash."""

    id: str
    caption: str
    columns: Sequence[Column]
    cells: Sequence[Sequence[Any]]
    sortable: bool = True
    filters: Sequence[Filter] = field(default_factory=list)
    kind: str = ""

    @property
    def rows(self) -> list[list[tuple[Column, Any]]]:
        return [list(zip(self.columns, cells, strict=True)) for cells in self.cells]


NAME = Column("name", "name", "text")
FREQUENCY = Column("frequency", "f", "tag", "frequency in LVIS: r rare, c common, f frequent")
NOVELTY = Column("novelty", "novel", "tag", "novel: labelled in no training set")


def traits(
    categories: Sequence[CategoryFigures],
) -> tuple[list[Column], list[Filter], list[list[str]]]:
    """Columns for frequency and novelty if the set has them, filters for them, and cells."""
    columns: list[Column] = []
    filters: list[Filter] = []
    values: list[list[str]] = []
    if any(item.frequency for item in categories):
        columns.append(FREQUENCY)
        filters.append(Filter("frequency", "Frequency", FREQUENCY_NAMES))
        values.append([item.frequency or "" for item in categories])
    if any(item.novel for item in categories):
        columns.append(NOVELTY)
        filters.append(Filter("novelty", "Novelty", {"base": "base", "novel": "novel"}))
        values.append(["novel" if item.novel else "base" for item in categories])
    return columns, filters, [list(row) for row in zip(*values, strict=True)]


def categories_table(identity: str, caption: str, categories: Sequence[CategoryFigures]) -> Table:
    """One row per category, highest AP first."""
    extra, filters, cells = traits(categories)
    columns = [
        NAME,
        Column("AP", "AP", "bar", "mean over IoU .5:.95", sorted="descending"),
        Column("AP50", "AP50", "bar", "IoU .5"),
        Column("AR", "AR", "number", "mean recall over IoU .5:.95"),
        Column("images", "images", "int", "annotated in this set"),
        Column("boxes", "boxes", "int", "annotated in this set"),
        *extra,
    ]
    order = sorted(
        range(len(categories)),
        key=lambda row: (-(-1.0 if (ap := categories[row].AP) is None else ap), row),
    )
    rows = []
    for row in order:
        item = categories[row]
        own = [item.name, item.AP, item.AP50, item.AR, item.images, item.boxes]
        rows.append([*own, *(cells[row] if cells else [])])
    return Table(identity, caption, columns, rows, filters=filters or [], kind="stacked")


def confusions_table(identity: str, caption: str, confusions: Sequence[Confused]) -> Table:
    """One row per pair: annotated name, name it is found under, and counts."""
    columns = [
        Column("name", "annotated", "text"),
        Column("called", "found as", "text"),
        Column("count", "boxes", "int", sorted="descending"),
        Column("share", "of its boxes", "share"),
    ]
    rows = [[item.name, item.called, item.count, item.share] for item in confusions]
    return Table(identity, caption, columns, rows)
