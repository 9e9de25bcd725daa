"""`unidet evaluate`: judge any results file in the official formats."""

from __future__ import annotations

import json
from pathlib import Path

from unidet.errors import UserError
from unidet.evaluation.evaluate import evaluate
from unidet.evaluation.official import lvis_package_metrics

TOLERANCE = 1e-6


def judge_files(
    ground_truth: str, results: str, style: str, out: str | None, check_official: bool
) -> None:
    """Print the metrics, write them to `out`, and compare with the lvis package where asked.

    Raises:
        UserError: a fault in a file, or metrics that differ from the official package's.
    """
    if check_official and style != "lvis":
        raise UserError(
            "--check-official: only --style lvis has an official package to compare with"
        )
    metrics = evaluate(Path(ground_truth), Path(results), style)
    for name, value in metrics.items():
        print(f"{name:<10} {value:.4f}")
    if out:
        Path(out).write_text(json.dumps(metrics, indent=1))
    if check_official:
        _compare(metrics, lvis_package_metrics(Path(ground_truth), Path(results)))


def _compare(ours: dict[str, float], official: dict[str, float]) -> None:
    worst = max(official, key=lambda name: abs(ours[name] - official[name]))
    difference = abs(ours[worst] - official[worst])
    if difference > TOLERANCE:
        raise UserError(f"{worst} differs from the lvis package's by {difference:.2g}")
    print(f"equal to the lvis package's within {TOLERANCE:g} (largest difference {difference:.1g})")
