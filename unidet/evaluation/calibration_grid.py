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
    `images` (pass no iterator) serve the whole grid, whose detections are in memory once.

    Returns:
        One row for each setting, columns gamma, beta, cap and the keys of `lvis_metrics`.

    Raises:
        ValueError: a cap above `suppression.max_per_image`.
    """
    import pandas

    if max(caps) > suppression.max_per_image:
        raise ValueError(f"caps {list(caps)} exceed max_per_image {suppression.max_per_image}")

    def metrics(detections: Detections) -> list[dict[str, float]]:
        # sorting all to keep all takes as long as half an evaluation
        whole = suppression.max_per_image
        parts = (detections if cap == whole else detections.top(cap) for cap in caps)
        return [lvis_metrics(ground_truth, part, novel) for part in parts]

    plain = [Scoring(beta) for beta in dict.fromkeys(betas)]
    positive = [gamma for gamma in gammas if gamma != 0]
    measured: dict[tuple[float, float], list[dict[str, float]]] = {}
    scorings: list[Scoring] = []
    uncalibrated = detect(images, classifier, plain, suppression)
    for scoring, detections in zip(plain, uncalibrated, strict=True):
        measured[0.0, scoring.beta] = metrics(detections)
        scorings += calibrated_scorings(detections, classifier, scoring, positive, compat)
    settings = [(gamma, scoring.beta) for scoring in plain for gamma in positive]
    runs = detect(images, classifier, scorings, suppression) if scorings else iter(())
    for setting, detections in zip(settings, runs, strict=True):
        measured[setting] = metrics(detections)
    return pandas.DataFrame(
        [
            {"gamma": gamma, "beta": beta, "cap": cap, **found}
            for gamma in gammas
            for beta in betas
            for cap, found in zip(caps, measured[gamma, beta], strict=True)
        ]
    )
