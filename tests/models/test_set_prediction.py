"""What DETR and RT-DETR share, by hand."""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.models.matcher import Matches, Targets
from unidet.models.set_prediction import absolute_boxes, box_losses, proposals

NO_BOXES = np.zeros((0, 4), np.float32)


def test_box_losses_by_hand() -> None:
    """Half as wide as its box: L1 0.5, IoU = GIoU = 0.5."""
    boxes = jt.array(np.array([[[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.5, 1.0]]], np.float32))
    targets = Targets([np.array([0])], [np.array([[0.5, 0.5, 1.0, 1.0]], np.float32)])
    matches = Matches.of([(np.array([1]), np.array([0]))])
    distance, overlap = box_losses(boxes, matches, targets)
    np.testing.assert_allclose([distance.item(), overlap.item()], [0.5, 0.5], rtol=1e-5)
    no_matches = Matches.of([(np.array([], np.int64), np.array([], np.int64))])
    distance, overlap = box_losses(boxes, no_matches, Targets([np.array([])], [NO_BOXES]))
    assert distance.item() == overlap.item() == 0


def test_proposals_are_clipped_and_best_first() -> None:
    boxes = absolute_boxes(
        jt.array(np.array([[[0.5, 0.5, 1.2, 0.5], [0.25, 0.5, 0.5, 1.0]]], np.float32)),
        np.array([[20, 40]]),
    )
    (rows,) = proposals(boxes, np.array([[0.2, 0.9]], np.float32), np.array([[20, 36]]))
    np.testing.assert_allclose(rows, [[0, 0, 20, 20, 0.9], [0, 5, 36, 15, 0.2]], atol=1e-5)
