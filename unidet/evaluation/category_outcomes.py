"""Outcomes of the boxes of each category, and the calibration error of its scores.

Legend: C categories.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unidet.evaluation.curves import calibration_errors, operating_point, reliability
from unidet.evaluation.naming import CONFUSED, MISSED, RIGHT, confusions, naming
from unidet.evaluation.outcomes import Outcomes
from unidet.records import UNDEFINED, Detections, GroundTruth


def outcome_columns(
    truth: GroundTruth, detections: Detections, found: Outcomes
) -> dict[str, np.ndarray]:
    """Columns for `per_category_table`, (C,) each, at IoU .5.

    `right`, `confused`, `missed`: annotated boxes detected under their own name, only under another
    one, or not at all, by the detections above the score that maximizes F1 over all categories;
    `called`: the most frequent other name; `ECE`: see `curves.reliability`.
    """
    point = operating_point(found)
    named = naming(truth, detections, found, np.inf if point is None else point.score)
    count = len(truth.category_ids)
    columns = {
        column: np.bincount(truth.category_rows[named.fates == fate], minlength=count)
        for column, fate in (("right", RIGHT), ("confused", CONFUSED), ("missed", MISSED))
    }
    called = np.full(count, "", dtype=object)
    for pair in reversed(confusions(truth, named, most=count * count)):  # the most frequent last
        called[pair.name] = truth.category_names[pair.called]
    return {**columns, "called": called, "ECE": calibration_errors(found)}


def calibration_error_metrics(
    truth: GroundTruth, found: Outcomes, novel: Mapping[int, bool] | None = None
) -> dict[str, float]:
    """`ECE` of all detections, and of base and novel categories if known. -1 without detections."""
    flags = {"ECE": np.ones(len(truth.category_ids), bool)}
    if novel is not None:
        is_novel = np.array([novel[int(number)] for number in truth.category_ids], bool)
        flags |= {"ECE_base": ~is_novel, "ECE_novel": is_novel}
    errors = {name: reliability(found, wanted).error for name, wanted in flags.items()}
    return {name: UNDEFINED if np.isnan(error) else float(error) for name, error in errors.items()}
