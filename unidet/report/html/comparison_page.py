"""The page that compares several studies; differences are relative to the first one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unidet.report.charts.axes import Frame
from unidet.report.charts.lines import Dot, Line, diagonal, line_chart, scatter, unit
from unidet.report.charts.svg import SERIES, Chart
from unidet.report.html.provenance import Provenance, fragment
from unidet.report.html.render import render
from unidet.report.html.set_charts import SERIES as GROUP_SERIES
from unidet.report.html.set_charts import precision_chart
from unidet.report.html.study_charts import loss_frame, recall_chart
from unidet.report.html.study_page import COCO_TILES, LVIS_TILES, Entry, Section, plain_metric
from unidet.report.html.tables import NAME, Column, Table, traits
from unidet.report.study import CategoryFigures, EvaluatedSet, Lines, Number, Study


@dataclass(frozen=True)
class Compared:
    """One of the studies, with its name on the page.

    `apart`: evaluation set -> how it differs from the first study's set of this name.
    """

    name: str
    study: Study
    provenance: Provenance
    apart: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Different:
    """A value that differs between studies, as text, in their order."""

    key: str
    values: Sequence[str]


def comparison_page(studies: Sequence[Compared], different: Sequence[Different]) -> str:
    """The page as HTML.

    Args:
        studies: two or more; all are compared with the first.
    """
    sections = [*_sets(studies), *_training(studies)]
    contents = [Entry("figures", "Figures"), Entry("run", "What was run")]
    contents += [Entry(section.id, section.title) for section in sections]
    return render(
        "comparison.html",
        title="Studies compared",
        lead=f"{', '.join(item.name for item in studies)}; differences are from {studies[0].name}.",
        contents=contents,
        figures=[(_figures(studies, name), _apart(studies, name)) for name in _set_names(studies)],
        different=_different(studies, different),
        runs=[
            (item.name, fragment(item.provenance, place + 1)) for place, item in enumerate(studies)
        ],
        sections=sections,
    )


def _set_names(studies: Sequence[Compared]) -> list[str]:
    """Names of all evaluation sets, those of the first study first."""
    return list(dict.fromkeys(item.name for each in studies for item in each.study.sets))


def _set_of(study: Study, name: str) -> EvaluatedSet | None:
    return next((item for item in study.sets if item.name == name), None)


def _series(studies: Sequence[Compared]) -> dict[str, int]:
    return {item.name: (1 + place) % SERIES for place, item in enumerate(studies)}


# --- tables ------------------------------------------------------------------------------------


def _figures(studies: Sequence[Compared], name: str) -> Table:
    """One row per metric: the value of every study, then the differences."""
    sets = [_set_of(item.study, name) for item in studies]
    wanted = (*LVIS_TILES, *COCO_TILES, "AP_shuffled_text", "AP_equal_text")
    known = {metric for item in sets if item for metric in item.metrics}
    rows = []
    for metric in dict.fromkeys(metric for metric in wanted if metric in known):
        values = [item.metrics.get(metric) if item else None for item in sets]
        rows.append([plain_metric(metric), *values, *_differences(values, studies, name)])
    columns = [Column("name", "figure", "text"), *_study_columns(studies)]
    return Table(f"figures-{name}", f"Figures on {name}", columns, rows, sortable=False)


def _study_columns(studies: Sequence[Compared]) -> list[Column]:
    values = [Column(f"study-{n}", item.name, "number") for n, item in enumerate(studies)]
    others = enumerate(studies[1:], 1)
    several = len(studies) > 2
    differences = [
        Column(f"diff-{n}", f"Δ {item.name}" if several else "Δ", "diff") for n, item in others
    ]
    return [*values, *differences]


def _differences(values: Sequence[Number], studies: Sequence[Compared], name: str) -> list[Number]:
    """Differences from the first study; None if undefined, or if the sets differ."""
    first, *others = values
    return [
        None if first is None or other is None or name in item.apart else other - first
        for other, item in zip(others, studies[1:], strict=True)
    ]


def _apart(studies: Sequence[Compared], name: str) -> list[str]:
    """Notes on the studies whose evaluation set of this name differs."""
    return [
        f"The set {name} of {item.name} is not that of {studies[0].name}, so AP does not compare: "
        f"{item.apart[name]}."
        for item in studies
        if name in item.apart
    ]


def _different(studies: Sequence[Compared], different: Sequence[Different]) -> Table | None:
    if not different:
        return None
    columns = [Column("key", "key", "text")]
    columns += [Column(f"study-{n}", item.name, "text") for n, item in enumerate(studies)]
    rows = [[item.key, *item.values] for item in different]
    return Table("different", "Values that differ between the studies", columns, rows)


def _categories(studies: Sequence[Compared], name: str, identity: str) -> Table:
    """AP of every category, the largest change first."""
    sets = [_set_of(item.study, name) for item in studies]
    by_name = [{item.name: item for item in one.categories} if one else {} for one in sets]
    known: dict[str, CategoryFigures] = {}
    for categories in by_name:
        known = {**categories, **known}
    extra, filters, cells = traits(list(known.values()))
    rows: list[list[Any]] = []
    for place, (category, figures) in enumerate(known.items()):
        values = [
            categories[category].AP if category in categories else None for categories in by_name
        ]
        own = [category, *values, *_differences(values, studies, name), figures.boxes]
        rows.append([*own, *(cells[place] if cells else [])])
    first_difference = 1 + len(studies)
    rows.sort(key=lambda row: -abs(row[first_difference] or 0.0))
    columns = [NAME, *_study_columns(studies), Column("boxes", "boxes", "int"), *extra]
    return Table(
        identity, f"AP of categories of {name}", columns, rows, filters=filters, kind="stacked"
    )


# --- charts ------------------------------------------------------------------------------------


def _sets(studies: Sequence[Compared]) -> Iterator[Section]:
    for place, name in enumerate(_set_names(studies)):
        identity = f"set-{place + 1}"
        charts = [
            *_precision(studies, name),
            *_recall(studies, name),
            *_against_first(studies, name),
        ]
        table = _categories(studies, name, f"{identity}-table")
        yield Section(identity, f"Evaluation on {name}", "", charts, [table])


def _precision(studies: Sequence[Compared], name: str) -> Iterator[Chart]:
    """One chart for each of these groups of categories that a study has."""
    for group in ("all", "base", "novel"):
        lines = {}
        for item in studies:
            evaluated = _set_of(item.study, name)
            if evaluated is not None and group in evaluated.precision:
                lines[item.name] = evaluated.precision[group]
        if lines:
            title = f"Precision against recall, {group} categories"
            yield precision_chart(lines, _series(studies), title)


def _recall(studies: Sequence[Compared], name: str) -> Iterator[Chart]:
    """One chart of all studies, or one for each choice of numbers of boxes."""
    found: dict[tuple[int, ...], Lines] = {}
    for item in studies:
        recall = next((r for r in item.study.recalls if r.name == name and not r.training), None)
        if recall is not None and "all" in recall.lines:
            found.setdefault(tuple(recall.numbers), {})[item.name] = recall.lines["all"]
    for numbers, lines in found.items():
        title = "Recall, whatever the boxes are called"
        yield recall_chart(title, "boxes", numbers, lines, _series(studies))


def _against_first(studies: Sequence[Compared], name: str) -> Iterator[Chart]:
    """AP of each category in another study against AP in the first one."""
    first = _set_of(studies[0].study, name)
    if first is None:
        return
    before = {item.name: item.AP for item in first.categories if item.AP is not None}
    for other in studies[1:]:
        evaluated = None if name in other.apart else _set_of(other.study, name)
        pairs = [
            (item, before[item.name])
            for item in (evaluated.categories if evaluated else ())
            if item.AP is not None and item.name in before
        ]
        if len(pairs) < 2:
            continue
        frame = Frame(unit(f"AP, {studies[0].name}"), unit(f"AP, {other.name}"))
        groups: dict[str, list[Dot]] = {}
        for item, earlier in pairs:
            kind = "novel" if item.novel else "base" if item.novel is False else "all"
            groups.setdefault(kind, []).append(Dot(earlier, item.AP or 0.0, item.name))
        better = sum((item.AP or 0.0) > earlier for item, earlier in pairs)
        worse = sum((item.AP or 0.0) < earlier for item, earlier in pairs)
        yield scatter(
            f"Each category: {other.name} against {studies[0].name}",
            frame,
            groups,
            GROUP_SERIES,
            f"AP of each category with {other.name} against that with {studies[0].name}: "
            f"{better} better, {worse} worse of {len(pairs)}.",
            before=diagonal(frame),
        )


def _training(studies: Sequence[Compared]) -> Iterator[Section]:
    series, charts = _series(studies), []
    for stage in ("clip", "rpn", "roi", "end2end"):
        lines = [
            Line(item.name, log.steps, log.losses["loss"], series[item.name])
            for item in studies
            for log in item.study.training
            if log.stage == stage and "loss" in log.losses
        ]
        if lines:
            frame, lines, note = loss_frame(lines)
            says = ", ".join(f"{line.name} to {_last(line):.3g}" for line in lines)
            title = f"Total loss of stage {stage}"
            charts.append(line_chart(title, frame, lines, f"{title}: {says}.", note=note))
    if charts:
        yield Section("training", "Training", "", charts)


def _last(line: Line) -> float:
    return next((value for value in reversed(line.y) if value is not None), 0.0)
