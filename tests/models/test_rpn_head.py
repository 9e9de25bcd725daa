"""The RPN's losses and proposals on outputs set by hand."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.models.dense_output import DenseOutput
from unidet.models.rpn_head import RPNHead
from unidet.models.rpn_targets import RPNTargets, sample_anchors

ANCHORS = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [-5, 0, 5, 10]], np.float32)
NO_BOXES = np.zeros((0, 4), np.float32)


def _head(**changes: int | float) -> RPNHead:
    return RPNHead(networks.rpn(channels=4, **changes), (4, 8))


def _sampled(boxes: np.ndarray, count: int = 256) -> RPNTargets:
    rng = np.random.default_rng(0)
    return sample_anchors(
        3, ANCHORS, boxes, (40, 40), iou=(0.7, 0.3), minimum_iou=0.3, count=count, rng=rng
    )


def test_anchors_inside_the_image_are_sampled() -> None:
    """The second overlaps the box by 1/3, so it is neither; the fourth sticks out of the image."""
    targets = _sampled(np.array([[0, 0, 10, 10]], np.float32))
    assert targets.anchors.tolist() == [0, 2]
    assert targets.images.tolist() == [3, 3]
    assert targets.positive.tolist() == [True, False]
    assert targets.boxes.tolist() == [[0, 0, 10, 10], [0, 0, 0, 0]]
    assert targets.counts.tolist() == [[1, 1]]
    assert targets.boxes_learned == 1


def test_without_boxes_every_anchor_is_negative_and_one_positive_is_counted() -> None:
    targets = _sampled(NO_BOXES, count=2)
    assert targets.positive.tolist() == [False, False]
    assert targets.counts.tolist() == [[1, 2]]


def test_both_losses_are_divided_by_the_sampled_anchors() -> None:
    """Logits 0 cost log 2 each; the positive's box is 5 pixels, half a side, off in x."""
    output = DenseOutput(jt.zeros((1, 4, 4)), jt.zeros((1, 4)), ANCHORS, (3, 1))
    targets = _sampled(np.array([[0, 0, 10, 10]], np.float32))
    targets.images[:] = 0
    targets.boxes[0] = [5, 0, 15, 10]
    values = {name: term.value.item() for name, term in _head().losses(output, targets).items()}
    assert values["loss_rpn_cls"] == pytest.approx(np.log(2))
    assert values["loss_rpn_bbox"] == pytest.approx(0.5 / 2)


def test_proposals_of_different_levels_do_not_suppress_each_other() -> None:
    """Anchor 3 is of another level and clipped to half of anchor 0; anchor 1 overlaps 0 by 1/3;
    anchor 2 moves out of the image."""
    deltas = np.zeros((1, 4, 4), np.float32)
    deltas[0, 2] = [9, 0, 0, 0]
    logits = np.array([[2, 1, 5, 0]], np.float32)
    output = DenseOutput(jt.array(deltas), jt.array(logits), ANCHORS, (3, 1))
    sizes = np.array([[40, 40]])
    for nms, kept in ((0.3, [0, 3]), (0.4, [0, 1, 3])):
        (proposals,) = _head(proposal_nms=nms).proposals(output, sizes)
        expected = np.clip(ANCHORS[kept], 0, 40)
        np.testing.assert_allclose(proposals[:, :4], expected, atol=1e-5)
        np.testing.assert_allclose(proposals[:, 4], 1 / (1 + np.exp(-logits[0, kept])), rtol=1e-6)
    (proposals,) = _head(proposal_nms=0.4, max_rois=2).proposals(output, sizes)
    assert len(proposals) == 2
    (proposals,) = _head(proposal_nms=0.4, proposals_per_level=1).proposals(output, sizes)
    np.testing.assert_allclose(proposals[:, :4], [[0, 0, 5, 10]], atol=1e-5)
