"""Metrics of a study's evaluation sets as tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from unidet.pipelines.wiring.study_sets import TRAINING
from unidet.store.stored_json import Numbers, read_numbers

COLUMNS = ("AP", "AP50", "AP75", "APr", "APc", "APf", "AP_base", "AP_novel")
RECALL = ("AR@300", "AR@100")  # LVIS's evaluator takes 300 boxes per image, COCO's 100

RECALL_COLUMNS = ("AR@10", "AR@100", "AR@300", "AUC", "R50@300")
LEAST_OF_A_SUITE = 3
COCO_COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@100")

Metrics = Mapping[str, float]


def read_metrics(folder: Path) -> Numbers:
    """What a stage has measured, from its artefact's folder."""
    return read_numbers(folder / "metrics.json")


def lvis_table(metrics_by_set: Mapping[str, Metrics]) -> str:
    """One row an evaluation set, and the controls of the main one, which comes first."""
    recalls = [name for name in RECALL if any(name in row for row in metrics_by_set.values())]
    heads = [name.removeprefix("AP_") for name in COLUMNS]
    heads.append(recalls[0] if len(recalls) == 1 else "AR")
    rows = [f"{'':<12}" + "".join(f"{head:>7}" for head in heads)]
    for name, metrics in metrics_by_set.items():
        recall = next((metrics[key] for key in RECALL if key in metrics), None)
        cells = [*(metrics.get(key) for key in COLUMNS), recall]
        rows.append(f"{name:<12}" + "".join(map(_cell, cells)))
    rows += _mean_rows(metrics_by_set, (*COLUMNS, "AR@100"), 12, 7)
    if len(recalls) > 1:
        rows.append("AR: of 300 boxes an image with style=lvis, of 100 with style=coco")
    main = next(iter(metrics_by_set.values()))
    if "AP_shuffled_text" in main:
        rows.append(
            f"controls: AP with shuffled text {main['AP_shuffled_text']:.3f}, "
            f"with one text for every name {main['AP_equal_text']:.3f}"
        )
    return "\n".join(rows)


def coco_table(metrics_by_set: Mapping[str, Metrics]) -> str:
    """One row an evaluation set of a closed-set detector."""
    rows = [f"{'COCO':<16}" + "".join(f"{name:>8}" for name in COCO_COLUMNS)]
    for name, metrics in metrics_by_set.items():
        cells = "".join(f" {_cell(metrics.get(key))}" for key in COCO_COLUMNS)
        rows.append(f"{name:<16}{cells}")
    rows += _mean_rows(metrics_by_set, COCO_COLUMNS, 16, 8)
    return "\n".join(rows)


def _mean_rows(
    metrics_by_set: Mapping[str, Metrics], columns: Sequence[str], name_width: int, width: int
) -> list[str]:
    """A row of means over the sets in COCO style, as suites report it; of two it says little."""
    from unidet.records import UNDEFINED

    suite = [metrics for metrics in metrics_by_set.values() if "AR@100" in metrics]
    if len(suite) < LEAST_OF_A_SUITE:
        return []
    cells = []
    for key in columns:
        values = [metrics[key] for metrics in suite if metrics.get(key, UNDEFINED) != UNDEFINED]
        cells.append(_cell(sum(values) / len(values) if values else None))
    head = f"mean of {len(suite)}"
    return [f"{head:<{name_width}}" + "".join(f"{cell:>{width}}" for cell in cells)]


def recall_table(metrics_by_set: Mapping[str, Metrics]) -> str:
    """One row a dataset: class-agnostic recall of its proposals; means over evaluation sets."""
    rows = [f"{'proposals':<28}" + "".join(f"{key:>8}" for key in RECALL_COLUMNS)]
    for name, metrics in metrics_by_set.items():
        rows.append(f"{name:<28}" + "".join(f"{metrics[key]:>8.3f}" for key in RECALL_COLUMNS))
    suite = [metrics for name, metrics in metrics_by_set.items() if not name.startswith(TRAINING)]
    if len(suite) >= LEAST_OF_A_SUITE:
        means = (sum(metrics[key] for metrics in suite) / len(suite) for key in RECALL_COLUMNS)
        head = f"mean of {len(suite)} evaluation sets"
        rows.append(f"{head:<28}" + "".join(f"{mean:>8.3f}" for mean in means))
    return "\n".join(rows)


def _cell(value: float | None) -> str:
    return f"{'–':>7}" if value is None or value < 0 else f"{value:>7.3f}"
