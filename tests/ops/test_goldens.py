"""Against tensors recorded from the official code (see README.md of the reference folder)."""

from __future__ import annotations

from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops.anchors import anchors_inside, centerness, grid_anchors
from unidet.ops.coders import decode_deltas, decode_tblr, encode_deltas
from unidet.ops.iou_assignment import match_by_max_iou
from unidet.ops.losses import binary_cross_entropy, cross_entropy, iou_loss, l1_loss, one_hot
from unidet.ops.nms import nms
from unidet.ops.numpy_boxes import pairwise_iou_numpy
from unidet.ops.roi_align import roi_align
from unidet.ops.sampling import sample_random

SIDE = 320
LEVELS = [(80, 4), (40, 8), (20, 16), (10, 32), (5, 64)]
Golden = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def stage1(reference: Path) -> Golden:
    with np.load(reference / "reference" / "goldens" / "stage1_cln.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def stage2(reference: Path) -> Golden:
    with np.load(reference / "reference" / "goldens" / "stage2_coco.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def anchors() -> np.ndarray:
    return np.concatenate([grid_anchors(cells, cells, stride, [8]) for cells, stride in LEVELS])


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def flat(stage1: Golden, name: str, columns: int) -> np.ndarray:
    """A head's five (1, columns, H, W) outputs as rows, level by level."""
    levels = [stage1[f"{name}{level}"][0].reshape(columns, -1).T for level in range(5)]
    return np.concatenate(levels)


def test_anchors(stage1: Golden, anchors: np.ndarray) -> None:
    assert_array_equal(anchors, np.concatenate([stage1[f"anchors{level}"] for level in range(5)]))


def test_proposal_network_targets_from_the_recorded_random_stream(
    stage1: Golden, anchors: np.ndarray
) -> None:
    stream = np.random.RandomState(123)
    within = np.flatnonzero(anchors_inside(anchors, SIDE, SIDE))
    iou = pairwise_iou_numpy(stage1["gt"], anchors[within])

    matched = match_by_max_iou(iou, 0.7, 0.3, 0.3, low_quality=True)
    positive, negative = sample_random(matched, 256, 0.5, stream)
    assert [len(positive), len(negative)] == stage1["rpn_tgt/num_pos_neg"].tolist()
    weights = np.zeros(len(anchors))
    weights[within[np.concatenate([positive, negative])]] = 1
    assert_array_equal(weights, stage1["rpn_tgt/label_weights"])
    boxes = np.zeros((len(anchors), 4), np.float32)
    boxes[within[positive]] = stage1["gt"][matched[positive]]
    assert_array_equal(boxes, stage1["rpn_tgt/bbox_targets"])

    matched = match_by_max_iou(iou, 0.3, 0.1, 0.3, low_quality=True)
    positive, negative = sample_random(matched, 256, 1.0, stream)
    weights = np.zeros(len(anchors))
    weights[within[np.concatenate([positive, negative])]] = 1
    assert_array_equal(weights, stage1["rpn_tgt/objectness_weights"])
    targets = np.zeros(len(anchors), np.float32)
    targets[within[positive]] = centerness(
        anchors[within[positive]], stage1["gt"][matched[positive]]
    )
    assert_allclose(targets, stage1["rpn_tgt/objectness_targets"], atol=1e-6)

    proposals = np.concatenate([stage1["gt"], stage1["train_proposals"][:, :4]])
    iou = pairwise_iou_numpy(stage1["gt"], proposals)
    matched = match_by_max_iou(iou, 0.5, 0.5, 0.5, low_quality=False)
    positive, negative = sample_random(matched, 512, 0.25, stream)
    assert_array_equal(proposals[positive], stage1["samp_pos_bboxes"])
    assert_array_equal(proposals[negative], stage1["samp_neg_bboxes"])
    assert_array_equal(stage1["gt"][matched[positive]], stage1["samp_pos_gt"])


def test_proposals_decoded_from_the_heads_output(stage1: Golden, anchors: np.ndarray) -> None:
    boxes = decode_tblr(anchors, jt.array(flat(stage1, "rpn_reg", 4)), max_shape=(SIDE, SIDE))
    rows = np.concatenate([boxes.numpy(), sigmoid(flat(stage1, "rpn_obj", 1))], axis=1)
    expected, start = [], 0
    for cells, _ in LEVELS:
        level = rows[start : start + cells * cells].astype(np.float32)
        if len(level) > 2000:  # only then does the official code sort
            level = level[np.argsort(-level[:, 4], kind="stable")[:2000]]
        expected.append(level)
        start += cells * cells
    difference = np.abs(np.concatenate(expected) - stage1["test_proposals"])
    assert difference[:, 4].max() < 1e-6
    assert (difference.max(axis=1) < 1e-4).mean() > 0.99  # equal scores may change places


def test_proposal_network_losses(stage1: Golden, anchors: np.ndarray) -> None:
    count = float(stage1["rpn_tgt/num_pos_neg"].sum())
    boxes = decode_tblr(anchors, jt.array(flat(stage1, "rpn_reg", 4)))
    quality = jt.sigmoid(jt.array(flat(stage1, "rpn_obj", 1)[:, 0]))
    start = 0
    for level, (cells, _) in enumerate(LEVELS):
        rows = slice(start, start + cells * cells)
        start = rows.stop
        overlap = iou_loss(
            boxes[rows],
            stage1["rpn_tgt/bbox_targets"][rows],
            stage1["rpn_tgt/bbox_weights"][rows, 0],
        )
        assert_allclose(10 * overlap.item() / count, stage1["loss/loss_rpn_bbox"][level], rtol=2e-5)
        distance = l1_loss(
            quality[rows],
            stage1["rpn_tgt/objectness_targets"][rows],
            stage1["rpn_tgt/objectness_weights"][rows],
        )
        assert_allclose(distance.item() / count, stage1["loss/loss_rpn_obj"][level], rtol=2e-5)


def test_box_head_targets_and_losses(stage1: Golden) -> None:
    deltas = encode_deltas(stage1["samp_pos_bboxes"], stage1["samp_pos_gt"]).numpy()
    assert_allclose(deltas, stage1["roi_tgt/bbox_targets"][: len(deltas)], atol=2e-5)
    classes = cross_entropy(jt.array(stage1["train_cls_score"]), stage1["roi_tgt/labels"])
    assert_allclose(classes.item() / 512, stage1["loss/loss_cls"], rtol=1e-5)
    boxes = l1_loss(
        jt.array(stage1["train_bbox_pred"]),
        stage1["roi_tgt/bbox_targets"],
        stage1["roi_tgt/bbox_weights"],
    )
    assert_allclose(boxes.item() / 512, stage1["loss/loss_bbox"], rtol=1e-5)
    scores = l1_loss(
        jt.sigmoid(jt.array(stage1["train_bbox_score"][:, 0])),
        stage1["roi_tgt/score_targets"],
        stage1["roi_tgt/score_weights"],
    )
    assert_allclose(scores.item() / 512, stage1["loss/loss_bbox_score"], rtol=1e-5)


def test_detections_by_decoding_and_suppression(stage1: Golden) -> None:
    object_probability = sigmoid(stage1["test_cls"][:, 0] - stage1["test_cls"][:, 1])
    location = stage1["test_rpn"][:, 0] * sigmoid(stage1["test_bscore"][:, 0])
    scores = (object_probability**0.3 * location**0.7).astype(np.float32)
    boxes = decode_deltas(
        stage1["test_rois"][:, 1:], jt.array(stage1["test_reg"]), max_shape=(SIDE, SIDE)
    )
    kept = nms(boxes.numpy(), scores, 0.9)[:1500]
    detections = np.concatenate([boxes.numpy()[kept], scores[kept, None]], axis=1)
    assert_allclose(detections[:, 4], stage1["detections"][:, 4], atol=2e-6)
    close = np.abs(detections - stage1["detections"]).max(axis=1) < 1e-3
    assert close.mean() > 0.99  # equal scores may change places


def test_roi_features(stage2: Golden) -> None:
    rois = np.concatenate([np.zeros((8, 1), np.float32), stage2["proposals"][:8]], axis=1)
    pooled = roi_align(jt.array(stage2["c4"]), jt.array(rois), 14, 1 / 16)
    assert_allclose(pooled.numpy(), stage2["roi_feats_first8"], atol=5e-6)


def test_federated_loss_over_the_recorded_classes(stage2: Golden) -> None:
    labels = stage2["roi_tgt/labels"]
    classes = np.union1d(labels, stage2["fed_sampled"])
    assert len(classes) == 50
    logits = jt.array(stage2["train_cls_score"][:, :80])
    looked_at = np.isin(np.arange(80), classes)[None].astype(np.float32)
    loss = binary_cross_entropy(logits, one_hot(labels, 80), looked_at)
    assert_allclose(loss.item() / len(labels), stage2["loss/loss_cls"], rtol=1e-5)
    boxes = l1_loss(
        jt.array(stage2["train_bbox_pred"]),
        stage2["roi_tgt/bbox_targets"],
        stage2["roi_tgt/bbox_weights"],
    )
    assert_allclose(boxes.item() / len(labels), stage2["loss/loss_bbox"], rtol=1e-5)
