"""Metrics over a grid of calibration settings, without the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from unidet.config.compat import Compat
from unidet.evaluation.detections import Scoring, TextClassifier, calibrated_scorings, detect
from unidet.evaluation.lvis import lvis_metrics
from unidet.evaluation.regions import Regions
from unidet.evaluation.soft_nms import Suppression
from unidet.records import Detections, GroundTruth

if TYPE_CHECKING:
    import pandas


def sweep(
    images: Iterable[Regions],
    classifier: TextClassifier,
    ground_truth: GroundTruth,
    *,
    gammas: Sequence[float],
    betas: Sequence[float],
    caps: Sequence[int],
    suppression: Suppression,
    compat: Compat = "default",
    novel: Mapping[str, bool] | Mapping[int, bool] | None = None,
) -> pandas.DataFrame:
    """LVIS metrics for every gamma, beta and cap (max detections per image).

    The prior of each beta is counted once, under `suppression.max_per_image` detections whatever
    the cap, and detections of a smaller cap are the best of the largest: two passes over
    `images` (pass no iterator) serve the whole grid.

    Returns:
        One row for each setting, columns gamma, beta, cap and the keys of `lvis_metrics`.

    Raises:
        ValueError: a cap above `suppression.max_per_image`.
    """
    import pandas

    if max(caps) > suppression.max_per_image:
        raise ValueError(f"caps {list(caps)} exceed max_per_image {suppression.max_per_image}")
    rows = []
    runs = _runs(images, classifier, list(dict.fromkeys(betas)), gammas, suppression, compat)
    for (gamma, beta), detections in runs.items():
        for cap in caps:
            metrics = lvis_metrics(ground_truth, detections.top(cap), novel)
            rows.append({"gamma": gamma, "beta": beta, "cap": cap, **metrics})
    return pandas.DataFrame(rows)


def _runs(
    images: Iterable[Regions],
    classifier: TextClassifier,
    betas: Sequence[float],
    gammas: Sequence[float],
    suppression: Suppression,
    compat: Compat,
) -> dict[tuple[float, float], Detections]:
    uncalibrated = detect(images, classifier, [Scoring(beta) for beta in betas], suppression)
    raw = dict(zip(betas, uncalibrated, strict=True))
    settings, scorings = [], []
    positive = [gamma for gamma in gammas if gamma != 0]
    for beta, detections in raw.items():
        settings += [(gamma, beta) for gamma in positive]
        scorings += calibrated_scorings(detections, classifier, beta, positive, compat)
    calibrated = detect(images, classifier, scorings, suppression) if scorings else []
    runs = dict(zip(settings, calibrated, strict=True))
    runs.update({(0.0, beta): detections for beta, detections in raw.items()})
    return {(gamma, beta): runs[gamma, beta] for gamma in gammas for beta in betas}
