"""Ground truth one-to-one with queries, by hand."""

from __future__ import annotations

import numpy as np
from batches import make_batch

from unidet.models.matcher import Matches, Targets, match, relative_targets
from unidet.records import Batch

NO_BOXES = np.zeros((0, 4), np.float32)


def _batch(boxes: list[np.ndarray], labels: list[np.ndarray]) -> Batch:
    return make_batch((32, 64), boxes, labels, sizes=[[20, 40]] * len(boxes))


def test_targets_in_units_of_the_sides() -> None:
    """Box 10, 5 to 30, 15 in 40 x 20 pixels. The official trainers keep the box without width."""
    boxes = np.array([[10, 5, 30, 15], [4, 4, 4, 9]], np.float32)
    batch = _batch([boxes, NO_BOXES], [np.array([3, 1]), np.array([], np.int64)])
    kept = relative_targets(batch, batch.sizes_N2, drop_empty=False)
    np.testing.assert_allclose(kept.boxes[0][0], [0.5, 0.5, 0.5, 0.5])
    assert kept.count == 2
    dropped = relative_targets(batch, batch.sizes_N2, drop_empty=True)
    assert [labels.tolist() for labels in dropped.labels] == [[3], []]
    assert dropped.boxes[1].shape == (0, 4)


def test_match_weighs_class_distance_and_overlap() -> None:
    """Query 0 lies on the box; query 1 is half as wide: L1 0.5, GIoU 0.5 instead of 1, which costs
    5 * 0.5 + 2 * (1 - 0.5) = 3.5."""
    truth = np.array([[0.5, 0.5, 1.0, 1.0]], np.float32)
    boxes = np.array([[[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 0.5, 1.0]]], np.float32)
    targets = Targets([np.array([0])], [truth])

    def cost(price: float):
        return lambda logits, labels: np.array([[price], [0.0]])

    for price, expected in ((3.4, 0), (3.6, 1)):
        rows = match(cost(price), np.zeros((1, 2, 1), np.float32), boxes, targets)
        assert rows.queries.tolist() == [expected]


def test_matches_pick_rows_of_all_images() -> None:
    targets = Targets(
        [np.array([4]), np.array([7, 9])],
        [np.full((1, 4), 0.1, np.float32), np.array([[0.2] * 4, [0.3] * 4], np.float32)],
    )
    matches = Matches.of([(np.array([2]), np.array([0])), (np.array([0, 5]), np.array([1, 0]))])
    assert matches.images.tolist() == [0, 1, 1]
    assert matches.labels(targets).tolist() == [4, 9, 7]
    np.testing.assert_allclose(matches.boxes(targets)[:, 0], [0.1, 0.3, 0.2])
