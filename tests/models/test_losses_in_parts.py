"""Of given predictions, the losses of a batch's two halves add up to those of the batch.

The halves have different numbers of boxes, so each one's own quotient would be another.
"""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest

from unidet.models.detr import criterion as detr
from unidet.models.matcher import Targets
from unidet.models.nanodet_plus.criterion import Targets as DenseTargets
from unidet.models.nanodet_plus.criterion import head_losses, kept_apart
from unidet.models.nanodet_plus.predictions import Predictions
from unidet.models.rtdetr import criterion as rtdetr
from unidet.models.set_prediction import Prediction
from unidet.ops.loss_term import Losses, loss_values

CLASSES, QUERIES, BINS, PRIORS = 4, 6, 8, 10
COUNTS = (3, 1)
"""Boxes of the two images."""


def assert_add_up(whole: Losses, halves: list[Losses]) -> None:
    expected = loss_values(whole)
    for name, term in whole.items():
        parts = [half[name] for half in halves]
        assert sum(part.count for part in parts) == pytest.approx(term.count)
        own = np.mean([part.value.item() for part in parts])
        shares = sum(part.share(term.count).item() for part in parts)
        assert shares == pytest.approx(expected[name].item(), rel=1e-5), name
        assert abs(own - shares) > 1e-3 * shares, f"{name}: equal halves show nothing"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """cxcywh in units of the image's sides."""
    return rng.uniform(0.2, 0.6, (count, 4)).astype(np.float32)


@pytest.mark.parametrize("criterion", [detr, rtdetr], ids=["detr", "rtdetr"])
def test_one_to_one_losses(criterion, rng: np.random.Generator) -> None:
    logits = rng.standard_normal((2, QUERIES, CLASSES + 1)).astype(np.float32)
    predicted = boxes(rng, 2 * QUERIES).reshape(2, QUERIES, 4)
    labels = [rng.integers(0, CLASSES, count) for count in COUNTS]
    truth = [boxes(rng, count) for count in COUNTS]

    def losses(images: slice) -> Losses:
        prediction = Prediction(jt.array(logits[images]), jt.array(predicted[images]))
        targets = Targets(labels[images], truth[images])
        matches = criterion.match_queries(prediction, targets)
        counts = (targets.count,) if criterion is rtdetr else ()
        return criterion.layer_losses(prediction, matches, targets, *counts)

    assert_add_up(losses(slice(2)), [losses(slice(1)), losses(slice(1, 2))])


def dense_losses(rng: np.random.Generator) -> tuple[Losses, list[Losses]]:
    """One head of NanoDet-Plus: of the batch, and of its halves."""
    priors = np.concatenate([rng.uniform(20, 40, (PRIORS, 2)), np.full((PRIORS, 2), 8)], axis=1)
    logits = rng.standard_normal((2, PRIORS, CLASSES + 4 * BINS)).astype(np.float32)
    rows = np.array([1, 4, 7, PRIORS + 2], np.int32)  # three positives, and one
    labels, soft = rng.integers(0, CLASSES, 4), rng.uniform(0.3, 1, 4).astype(np.float32)
    corners = rng.uniform(0, 20, (4, 2))
    truth = np.concatenate([corners, corners + 30], axis=1).astype(np.float32)
    distances = rng.uniform(0, BINS - 1.2, (4, 4)).astype(np.float32)

    def losses(images: slice, chosen: slice, first: int) -> Losses:
        output = Predictions(jt.array(logits[images]), priors.astype(np.float32), CLASSES, BINS)
        columns = (labels[chosen], soft[chosen], truth[chosen], distances[chosen])
        return head_losses(output, DenseTargets(rows[chosen] - first, *columns))

    halves = [losses(slice(1), slice(3), 0), losses(slice(1, 2), slice(3, 4), PRIORS)]
    return losses(slice(2), slice(4), 0), halves


def test_dense_losses(rng: np.random.Generator) -> None:
    assert_add_up(*dense_losses(rng))


def test_officially_dense_losses_are_kept_apart(rng: np.random.Generator) -> None:
    """The mean of the halves' own values, as of two processes that share no counts."""
    _, halves = dense_losses(rng)
    for name in halves[0]:
        own = [half[name].value.item() for half in halves]
        shares = [kept_apart(half)[name].share(2).item() for half in halves]
        assert sum(shares) == pytest.approx(np.mean(own), rel=1e-6)
