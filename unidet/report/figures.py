"""Computes the figures of one evaluation set from ground truth and detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from unidet.evaluation.curves import (
    OperatingPoint,
    operating_point,
    precision_recall,
    reliability,
)
from unidet.evaluation.naming import CONFUSED, MISSED, RIGHT, Naming, confusions, naming
from unidet.evaluation.outcomes import Outcomes, outcomes
from unidet.records import UNDEFINED, Detections, GroundTruth
from unidet.report.study import (
    FREQUENCY_NAMES,
    CategoryFigures,
    Confused,
    EvaluatedSet,
    Fates,
    Lines,
    Matrix,
    Number,
    Point,
    ReliabilityFigures,
)

MOST_CONFUSIONS, MATRIX_NAMES = 40, 10
Style = Literal["lvis", "coco"]


@dataclass(frozen=True)
class Evaluated:
    """An evaluation set with a detector's results.

    Attributes:
        closed: whether the detector is a closed-set one.
        novel: category id -> whether it is novel; None in a closed-set study.
        metrics: the evaluator's; undefined ones are `UNDEFINED`.
        table: `per_category_table` of the same evaluation.
    """

    name: str
    style: Style
    closed: bool
    truth: GroundTruth
    detections: Detections
    novel: Mapping[int, bool] | None
    metrics: Mapping[str, float]
    table: pd.DataFrame

    @cached_property
    def outcomes(self) -> Outcomes:
        return outcomes(self.truth, self.detections, self.style)

    @cached_property
    def point(self) -> OperatingPoint | None:
        return operating_point(self.outcomes)

    @cached_property
    def naming(self) -> Naming:
        """Outcomes of the shown detections; there are none without an operating point."""
        score = np.inf if self.point is None else self.point.score
        return naming(self.truth, self.detections, self.outcomes, score)

    def is_novel(self, row: int) -> bool:
        """Whether the category at `row` of the ground truth is novel."""
        return self.novel is not None and self.novel[int(self.truth.category_ids[row])]


def figures_of(evaluated: Evaluated) -> EvaluatedSet:
    """Computes all figures of a set."""
    truth, found = evaluated.truth, evaluated.naming
    categories = _categories(evaluated)
    groups = _groups(categories)
    fates = np.bincount(found.fates, minlength=4)
    return EvaluatedSet(
        name=evaluated.name,
        style=evaluated.style,
        closed=evaluated.closed,
        images=len(truth.image_ids),
        detections=len(evaluated.detections),
        metrics=_metrics(evaluated.metrics, categories),
        categories=categories,
        precision=_precision(evaluated.outcomes, groups),
        reliability={
            name: _reliability(evaluated.outcomes, groups[name])
            for name in ("all", "base", "novel")
            if name in groups
        },
        point=None if evaluated.point is None else Point(**vars(evaluated.point)),
        fates=Fates(int(fates[RIGHT]), int(fates[CONFUSED]), int(fates[MISSED])),
        confusions=[
            Confused(
                truth.category_names[pair.name],
                truth.category_names[pair.called],
                pair.count,
                pair.share,
            )
            for pair in confusions(truth, found, MOST_CONFUSIONS)
        ],
        matrix=_matrix(truth, found),
    )


def _categories(evaluated: Evaluated) -> list[CategoryFigures]:
    truth, table = evaluated.truth, evaluated.table
    boxes = truth.category_rows[~truth.is_crowd]
    pairs = np.unique(
        truth.image_rows[~truth.is_crowd].astype(np.int64) * len(truth.category_ids) + boxes
    )
    images = np.bincount(pairs % max(len(truth.category_ids), 1), minlength=len(table))
    counts = np.bincount(boxes, minlength=len(table))
    return [
        CategoryFigures(
            id=int(number),
            name=truth.category_names[row],
            frequency=truth.frequencies[row],
            novel=None if evaluated.novel is None else evaluated.novel[int(number)],
            images=int(images[row]),
            boxes=int(counts[row]),
            AP=_number(table["AP"].iloc[row]),
            AP50=_number(table["AP50"].iloc[row]),
            AR=_number(table["AR"].iloc[row]),
        )
        for row, number in enumerate(truth.category_ids)
    ]


def _groups(categories: Sequence[CategoryFigures]) -> dict[str, np.ndarray]:
    """Group -> (C,) bool; base and novel only if both exist."""
    novel = np.array([category.novel is True for category in categories], bool)
    groups = {"all": np.ones(len(categories), bool)}
    if novel.any() and not novel.all():
        groups |= {"base": ~novel, "novel": novel}
    for letter, name in FREQUENCY_NAMES.items():
        flags = np.array([category.frequency == letter for category in categories], bool)
        if flags.any():
            groups[name] = flags
    return groups


def _metrics(
    metrics: Mapping[str, float], categories: Sequence[CategoryFigures]
) -> dict[str, Number]:
    """The evaluator's metrics; AP of base and novel categories is added if missing."""
    values: dict[str, Number] = {name: _number(value) for name, value in metrics.items()}
    for name, wanted in (("AP_base", False), ("AP_novel", True)):
        if name not in values and any(category.novel is not None for category in categories):
            aps = [c.AP for c in categories if c.novel is wanted and c.AP is not None]
            values[name] = float(np.mean(aps)) if aps else None
    return values


def _precision(found: Outcomes, groups: Mapping[str, np.ndarray]) -> Lines:
    curves = precision_recall(found)
    defined = ~np.isnan(curves[:, 0])
    lines: Lines = {}
    for name, flags in groups.items():
        rows = curves[flags & defined]
        if len(rows):
            lines[name] = [round(float(value), 4) for value in rows.mean(axis=0)]
    return lines


def _reliability(found: Outcomes, flags: np.ndarray) -> ReliabilityFigures:
    measured = reliability(found, flags)
    return ReliabilityFigures(
        counts=measured.counts.tolist(),
        scores=[_number(value) for value in measured.scores],
        shares=[_number(value) for value in measured.shares],
        error=_number(measured.error),
    )


def _matrix(truth: GroundTruth, found: Naming) -> Matrix:
    """The confusion matrix of the names with the most confusions, as annotated or found name."""
    count = len(truth.category_ids)
    wrong = np.flatnonzero(found.fates == CONFUSED)
    own, called = truth.category_rows[wrong], found.names[wrong]
    weight = np.bincount(own, minlength=count) + np.bincount(called, minlength=count)
    rows = np.argsort(-weight, kind="stable")[:MATRIX_NAMES]
    rows = rows[weight[rows] > 0]
    place = np.full(count + 1, len(rows))
    place[rows] = np.arange(len(rows))
    counts = np.zeros((len(rows) + 1, len(rows) + 2), np.int64)
    counted = np.isin(found.fates, (RIGHT, CONFUSED, MISSED))
    columns = np.where(found.names >= 0, place[found.names], len(rows) + 1)
    np.add.at(counts, (place[truth.category_rows[counted]], columns[counted]), 1)
    names = [truth.category_names[row] for row in rows]
    return Matrix(names, counts[: len(rows)].tolist())


def _number(value: Any) -> Number:
    """None if undefined."""
    value = float(value)
    return None if np.isnan(value) or value == UNDEFINED else value
