"""Metrics of a study's evaluation sets as tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

COLUMNS = ("AP", "AP50", "AP75", "APr", "APc", "APf", "AP_base", "AP_novel", "AR@300")

Metrics = Mapping[str, float]


def lvis_table(metrics_by_set: Mapping[str, Metrics]) -> str:
    """One row an evaluation set, and the controls of the main one, which comes first."""
    rows = [f"{'':<12}" + "".join(f"{name.removeprefix('AP_'):>7}" for name in COLUMNS)]
    for name, metrics in metrics_by_set.items():
        rows.append(f"{name:<12}" + "".join(_cell(metrics.get(key)) for key in COLUMNS))
    main = next(iter(metrics_by_set.values()))
    if "AP_shuffled_text" in main:
        rows.append(
            f"controls: AP with shuffled text {main['AP_shuffled_text']:.3f}, "
            f"with one text for every name {main['AP_equal_text']:.3f}"
        )
    return "\n".join(rows)


def _cell(value: float | None) -> str:
    return f"{'–':>7}" if value is None or value < 0 else f"{value:>7.3f}"
