"""Metrics of a study's evaluation sets as tables that fit 80 columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

COLUMNS = ("AP", "AP50", "AP75", "APr", "APc", "APf", "AP_base", "AP_novel")
RECALL = ("AR@300", "AR@100")  # LVIS's evaluator takes 300 boxes an image, COCO's 100

COCO_COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@100")

Metrics = Mapping[str, float]


def read_metrics(folder: Path) -> dict[str, float]:
    """What a stage has measured, from its artefact's folder."""
    return json.loads((folder / "metrics.json").read_text())


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
    return "\n".join(rows)


def _cell(value: float | None) -> str:
    return f"{'–':>7}" if value is None or value < 0 else f"{value:>7.3f}"
