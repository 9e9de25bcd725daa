"""The page of one study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unidet.report.charts.svg import Chart
from unidet.report.gallery import Gallery, Named
from unidet.report.html.render import TITLE, render
from unidet.report.html.set_charts import matrix_chart, set_charts
from unidet.report.html.study_charts import recall_charts, sweep_charts, training_charts
from unidet.report.html.tables import Column, Table, categories_table, confusions_table
from unidet.report.study import EvaluatedSet, Fates, Number, Study

LVIS_TILES = ("AP", "AP_novel", "AP_base", "APr", "APc", "APf", "AP50", "AP75", "AR@300")
COCO_TILES = ("AP", "AP_novel", "AP_base", "AP50", "AP75", "APs", "APm", "APl", "AR@100")
GLOSSARY = (
    ("AP", "average precision, mean over IoU .5:.95 and over categories"),
    ("AP50, AP75", "the same at IoU .5 and .75"),
    ("AP novel, AP base", "over categories that no training set labels, and over the others"),
    ("APr, APc, APf", "over LVIS's rare, common and frequent categories"),
    ("APs, APm, APl", "over boxes of under 32², up to 96² and more square pixels"),
    ("AR@k", "recall of the best k detections of an image, mean over IoU .5:.95"),
    ("shuffled text", "AP where every name carries another name's embedding, mean of 5: a control"),
    ("equal text", "AP where every name carries the same embedding: chance"),
    ("–", "undefined: nothing of that kind is annotated"),
)


@dataclass(frozen=True)
class Entry:
    """One entry of the table of contents."""

    id: str
    title: str
    parts: Sequence[Entry] = ()


@dataclass(frozen=True)
class Tile:
    """One headline figure at the top."""

    name: str
    value: Number
    main: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page with charts and tables only."""

    id: str
    title: str
    text: str = ""
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    proposed: Sequence[Named] = ()


def study_page(
    study: Study, galleries: Mapping[int, Sequence[Gallery]], proposed: Sequence[Named] = ()
) -> str:
    """The page as HTML.

    Args:
        galleries: position in `study.sets` -> galleries of that set.
        proposed: images with their proposals.
    """
    sets = [
        _set(place, evaluated, galleries.get(place, ()))
        for place, evaluated in enumerate(study.sets)
    ]
    sections = list(_sections(study, proposed))
    contents = [Entry("figures", "Figures"), Entry("run", "What was run")]
    contents += [_entry(item) for item in sets]
    contents += [Entry(section.id, section.title) for section in sections]
    return render(
        "study.html",
        title=TITLE,
        lead=_lead(study),
        contents=contents,
        glossary=GLOSSARY,
        inputs=list(study.inputs.items()),
        sets=sets,
        sections=sections,
    )


def _lead(study: Study) -> str:
    kind = "A closed-set detector" if study.sets[0].closed else "An open-world detector"
    uses = [item.name for item in study.data if item.use == "training"]
    trained = f", trained on {', '.join(uses)}" if study.training else ""
    return f"{kind}{trained}, evaluated on {', '.join(item.name for item in study.sets)}."


def _entry(item: Mapping[str, Any]) -> Entry:
    parts = [("curves", "Curves"), ("categories", "Categories"), ("names", "Confusion of names")]
    parts += [("pictures", "Images")] if item["galleries"] else []
    name = item["id"]
    return Entry(name, item["title"], [Entry(f"{name}-{key}", title) for key, title in parts])


# --- one evaluation set ------------------------------------------------------------------------


def _set(place: int, evaluated: EvaluatedSet, galleries: Sequence[Gallery]) -> dict[str, Any]:
    identity, name = f"set-{place + 1}", evaluated.name
    kind = f"{evaluated.style.upper()} AP" + (", closed set" if evaluated.closed else "")
    return {
        "id": identity,
        "title": f"Evaluation on {name}",
        "heading": f"{name} ({kind})",
        "text": _described(evaluated),
        "tiles": tiles(evaluated),
        "controls": _controls(evaluated),
        "point": evaluated.point,
        **_fates(evaluated.fates),
        "charts": list(set_charts(evaluated)),
        "categories": categories_table(
            f"{identity}-table", f"Categories of {name}", evaluated.categories
        ),
        "matrix": matrix_chart(evaluated.matrix),
        "confusions": confusions_table(
            f"{identity}-confusions", f"Names of {name} that are confused", evaluated.confusions
        ),
        "galleries": galleries,
        "has_novel": _has_novel(evaluated),
    }


def _has_novel(evaluated: EvaluatedSet) -> bool:
    return any(category.novel for category in evaluated.categories)


def tiles(evaluated: EvaluatedSet) -> list[Tile]:
    """The headline figures; those of novel and base categories only if some are novel."""
    names = LVIS_TILES if evaluated.style == "lvis" else COCO_TILES
    known = [name for name in names if name in evaluated.metrics]
    if not _has_novel(evaluated):
        known = [name for name in known if name not in ("AP_novel", "AP_base")]
    return [
        Tile(plain_metric(name), evaluated.metrics[name], main=place == 0)
        for place, name in enumerate(known)
    ]


def plain_metric(name: str) -> str:
    """`AP_novel` as "AP novel"."""
    return name.replace("_", " ")


def _controls(evaluated: EvaluatedSet) -> str:
    shuffled = evaluated.metrics.get("AP_shuffled_text")
    equal = evaluated.metrics.get("AP_equal_text")
    if shuffled is None or equal is None:
        return ""
    return f"Controls: AP {shuffled:.3f} with shuffled text, {equal:.3f} with equal text."


def _described(evaluated: EvaluatedSet) -> str:
    categories = evaluated.categories
    novel = sum(category.novel is True for category in categories)
    boxes = sum(category.boxes for category in categories)
    text = f"{evaluated.images:,} images with {boxes:,} boxes of {len(categories):,} categories"
    if novel:
        text += f", {novel:,} of them novel"
    return f"{text}; {evaluated.detections:,} detections."


def _fates(fates: Fates) -> dict[str, Any]:
    total = fates.right + fates.confused + fates.missed
    if not total:
        return {"fates": [], "fates_say": ""}
    rows = [
        ("right", fates.right, "boxes found under their own name"),
        ("confused", fates.confused, "under another name only"),
        ("missed", fates.missed, "missed"),
    ]
    items = [
        {"kind": kind, "count": count, "text": text, "share": count / total}
        for kind, count, text in rows
    ]
    said = ", ".join(f"{count:,} {text} ({count / total:.0%})" for _, count, text in rows)
    return {"fates": items, "fates_say": f"Of {total:,} annotated boxes: {said}."}


# --- the rest ----------------------------------------------------------------------------------


def _sections(study: Study, proposed: Sequence[Named]) -> Iterator[Section]:
    closed = study.sets[0].closed
    if study.fine_tuned:
        yield _fine_tuning(study)
    if study.recalls:
        yield _recall(study, closed, proposed)
    sweeps = [chart for sweep in study.sweeps for chart in sweep_charts(sweep, study)]
    if sweeps:
        yield Section(
            "calibration",
            "Calibration",
            "Scores are pᵝ · η¹⁻ᵝ, with p divided by priorᵞ first. Per-category AP does not "
            "see a per-category factor, so γ acts only where the detections kept in an image are "
            "few.",
            sweeps,
        )
    training = [chart for log in study.training for chart in training_charts(log)]
    if training:
        yield Section("training", "Training", "", training)
    yield Section("data", "Data", tables=[_data(study)])


def _fine_tuning(study: Study) -> Section:
    groups = list(study.fine_tuned[0].AP)
    before = {item.name: item.AP for item in study.fine_tuned if item.network == "before"}
    columns = [Column("network", "set, network", "text")]
    for group in groups:
        columns.append(Column(group, f"AP {group}", "number"))
        columns.append(Column(f"{group}-change", "change", "diff", f"AP {group} less that before"))
    rows = []
    for item in study.fine_tuned:
        row: list[Any] = [f"{item.name}, {item.network}"]
        for group in groups:
            row += [item.AP[group], _change(item.AP[group], before[item.name][group], item.network)]
        rows.append(row)
    counts = study.fine_tuned[0].names
    return Section(
        "fine-tuning",
        "Fine-tuning",
        f"AP over the {counts['new']:,} names that fine-tuning learns, the {counts['old']:,} that "
        f"the network was trained on before, and the {counts['other']:,} that neither labels (of "
        f"{study.fine_tuned[0].name}); “plain” trains on the new images and does nothing else.",
        tables=[
            Table(
                "fine-tuning-table", "Before and after fine-tuning", columns, rows, kind="stacked"
            )
        ],
    )


def _change(value: Number, before: Number, network: str) -> Number:
    if value is None or before is None or network == "before":
        return None
    return value - before


def _recall(study: Study, closed: bool, proposed: Sequence[Named]) -> Section:
    charts = [
        chart
        for recall in study.recalls
        if not recall.training
        for chart in recall_charts(recall, closed)
    ]
    numbers = study.recalls[0].numbers
    columns = [
        Column("name", "set", "text"),
        Column("use", "use", "text"),
        *(Column(f"AR{number}", f"AR@{number}", "number") for number in numbers),
    ]
    rows = [
        [recall.name, "training" if recall.training else "evaluation", *recall.lines["all"]]
        for recall in study.recalls
        if "all" in recall.lines
    ]
    what = "detections" if closed else "proposals"
    return Section(
        "recall",
        "Recall",
        f"Class-agnostic recall of the best {what} of an image, whatever they are called.",
        charts,
        [Table("recall-table", f"Recall of the best {what}", columns, rows)],
        proposed,
    )


def _data(study: Study) -> Table:
    columns = [
        Column("name", "set", "text"),
        Column("use", "use", "text"),
        *(Column(key, key, "int") for key in ("images", "boxes", "categories", "novel")),
    ]
    rows = [
        [item.name, item.use, item.images, item.boxes, item.categories, item.novel]
        for item in study.data
    ]
    return Table("data-table", "Data sets of the study", columns, rows)
