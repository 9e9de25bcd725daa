"""The full-size CLN against tensors recorded from the official code (reference/goldens)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jittor as jt
import numpy as np
import pytest

from unidet.models.box_head import BoxHead
from unidet.models.cln import CLN
from unidet.models.fpn import FPN
from unidet.models.resnet import ResNet
from unidet.models.rpn_head import RPNHead
from unidet.records import Batch
from unidet.weights.layouts.unidetector import STAGE1
from unidet.weights.load import load_into

LEVELS = (4, 8, 16, 32, 64)


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, np.ndarray]:
    return dict(np.load(reference / "reference/goldens/stage1_cln.npz"))


@pytest.fixture(scope="module")
def network(official_weights: Callable[[str], dict[str, np.ndarray]]) -> CLN:
    backbone = ResNet(
        style="torchvision",
        width=64,
        blocks=(3, 4, 6, 3),
        strides=(1, 2, 2, 2),
        outputs=(1, 2, 3, 4),
    )
    cln = CLN(
        backbone,
        FPN(backbone.channels, 256, len(LEVELS)),
        RPNHead(256, strides=LEVELS, classifier=True),
        BoxHead(256),
        compat="official",
    )
    load_into(cln, STAGE1.from_official(official_weights("keys_stage1.txt")).arrays)
    backbone.freeze(1)
    return cln


@pytest.fixture(scope="module")
def batch(golden: dict[str, np.ndarray]) -> Batch:
    return Batch(
        images_NCHW=golden["img"],
        sizes_N2=np.array([[320, 320]], np.int32),
        scales_N4=np.ones((1, 4), np.float32),
        flips_N2=np.zeros((1, 2), bool),
        boxes=[golden["gt"]],
        labels=[np.zeros(len(golden["gt"]), np.int32)],
        dataset_ids=np.zeros(1, np.int32),
        image_rows=np.zeros(1, np.int32),
    )


def _relative(ours: np.ndarray, golden: np.ndarray) -> float:
    """Largest difference, relative to the recorded tensor's largest value."""
    assert ours.shape == golden.shape
    return float(np.abs(ours - golden).max() / np.abs(golden).max())


def _per_level(flat: np.ndarray, golden: dict[str, np.ndarray], name: str) -> dict[str, float]:
    """Compare (A, C) rows with the recorded (1, C, H, W) maps of every level."""
    found, start = {}, 0
    for level in range(len(LEVELS)):
        recorded = golden[f"{name}{level}"][0]
        rows = recorded.reshape(recorded.shape[0], -1).T
        found[f"{name}{level}"] = _relative(flat[start : start + len(rows)], rows)
        start += len(rows)
    return found


def _assert_same_rows(proposals: np.ndarray, recorded: np.ndarray) -> None:
    """The same boxes and scores in any order."""
    ours, theirs = (rows[np.lexsort(rows.T.round(3))] for rows in (proposals, recorded))
    np.testing.assert_allclose(ours[:, :4], theirs[:, :4], atol=0.01)
    np.testing.assert_allclose(ours[:, 4], theirs[:, 4], atol=1e-5)


def test_features_and_proposals(network: CLN, golden: dict[str, np.ndarray]) -> None:
    network.backbone.set_batch_norm_training(False)
    with jt.no_grad():
        stages = network.backbone(jt.array(golden["img"]))
        levels = network.neck(stages)
        output = network.rpn_head(levels)
        errors = {
            name: _relative(feats.numpy(), golden[name])
            for name, feats in zip(
                ("c4", "c5", "p3", "p4", "p5", "p6"), [*stages[2:], *levels[1:]], strict=True
            )
        }
        errors |= _per_level(output.distances_NA4[0].numpy(), golden, "rpn_reg")
        errors |= _per_level(output.objectness_NA[0].unsqueeze(1).numpy(), golden, "rpn_obj")
        proposals = network.first_stage(output, np.array([[320, 320]]))[0]
        head = network.box_head(levels, golden["test_rois"])
        errors["test_cls"] = _relative(head.class_logits_R2.numpy(), golden["test_cls"])
        errors["test_reg"] = _relative(head.deltas_R4.numpy(), golden["test_reg"])
        errors["test_bscore"] = _relative(
            head.iou_logits_R.unsqueeze(1).numpy(), golden["test_bscore"]
        )
    for level, anchors in enumerate(np.split(output.anchors_A4, np.cumsum(output.level_counts))):
        if len(anchors):
            np.testing.assert_array_equal(anchors, golden[f"anchors{level}"])
    assert max(errors.values()) < 1e-4, errors
    _assert_same_rows(proposals, golden["test_proposals"])


def test_detections(network: CLN, golden: dict[str, np.ndarray]) -> None:
    """Same boxes in the same order wherever neighbouring scores differ by more than 1e-5."""
    found = network.propose(jt.array(golden["img"]), np.array([[320, 320]], np.int32))[0]
    recorded = golden["detections"]
    assert found.shape == recorded.shape
    np.testing.assert_allclose(found[:, 4], recorded[:, 4], atol=1e-5)
    distance = np.abs(found[:, :4] - recorded[:, :4]).max(axis=1)
    gaps = np.abs(np.diff(recorded[:, 4])) <= 1e-5
    tied = np.concatenate([gaps, [False]]) | np.concatenate([[False], gaps])
    assert (~tied).sum() > 900
    assert distance[~tied].max() < 0.01
    for row in np.flatnonzero(distance >= 0.01):
        swapped = np.abs(found[:, 4] - recorded[row, 4]) <= 2e-5
        assert np.abs(found[swapped, :4] - recorded[row, :4]).max(axis=1).min() < 0.01


@pytest.fixture(scope="module")
def training(network: CLN, batch: Batch, golden: dict[str, np.ndarray]) -> dict:
    """One training step, every sampler drawing from one stream as in the recording.

    Regions are drawn from the recorded proposals: the sampler draws by position, and proposals
    whose scores agree to the last bit or two may stand in another order.
    """
    rng = np.random.RandomState(123)
    network.backbone.set_batch_norm_training(False)
    feats = network.pyramid(jt.array(batch.images_NCHW))
    output = network.rpn_head(feats)
    targets = network.anchor_targets(output.anchors_A4, batch, rng)
    losses = network.rpn_losses(output, targets)
    proposals = network.first_stage(output, batch.sizes_N2)[0]
    samples = network.region_samples([golden["train_proposals"]], batch.boxes, rng)
    head = network.box_head(feats, samples.rois)
    losses |= network.box_losses(head, samples)
    return {
        "targets": targets,
        "proposals": proposals,
        "samples": samples,
        "head": head,
        "losses": losses,
    }


def test_targets_and_samples(training: dict, golden: dict[str, np.ndarray]) -> None:
    targets, samples = training["targets"], training["samples"]
    weighted = np.flatnonzero(golden["rpn_tgt/bbox_weights"].any(axis=1))
    np.testing.assert_array_equal(np.sort(targets.box_anchors), weighted)
    np.testing.assert_array_equal(
        targets.boxes, golden["rpn_tgt/bbox_targets"][targets.box_anchors]
    )
    counts = golden["rpn_tgt/num_pos_neg"]
    assert targets.box_samples.tolist() == [int(counts.sum())]
    weighted = np.flatnonzero(golden["rpn_tgt/objectness_weights"])
    np.testing.assert_array_equal(np.sort(targets.objectness_anchors), weighted)
    recorded = golden["rpn_tgt/objectness_targets"][targets.objectness_anchors]
    np.testing.assert_allclose(targets.objectness, recorded, atol=1e-6)
    _assert_same_rows(training["proposals"], golden["train_proposals"])
    np.testing.assert_allclose(samples.rois, golden["train_rois"], atol=0.01)
    positives = len(golden["samp_pos_bboxes"])
    np.testing.assert_array_equal(samples.positive, np.arange(512) < positives)
    np.testing.assert_array_equal(samples.boxes[:positives], golden["samp_pos_gt"])


def test_losses(training: dict, golden: dict[str, np.ndarray]) -> None:
    total = 0.0
    for name, value in training["losses"].items():
        recorded = float(golden[f"loss/{name}"].sum())
        assert value.item() == pytest.approx(recorded, rel=1e-5)
        total += value.item()
    assert total == pytest.approx(float(golden["loss/total"]), rel=1e-5)


def test_gradients(network: CLN, training: dict, golden: dict[str, np.ndarray]) -> None:
    recorded = {
        key.removeprefix("grad/"): value
        for key, value in golden.items()
        if key.startswith("grad/") and not key.endswith("#norm")
    }
    frozen = recorded.pop("backbone.conv1.weight")
    assert frozen.shape == (1,)
    assert network.backbone.conv1.weight.is_stop_grad()
    parameters = network.state_dict()
    names = [name.removesuffix("#first65536") for name in recorded]
    gradients = jt.grad(
        sum(training["losses"].values()), [parameters[STAGE1.our_names[name]] for name in names]
    )
    for (key, expected), name, gradient in zip(recorded.items(), names, gradients, strict=True):
        ours = gradient.numpy()
        norm = float(golden.get(f"grad/{name}#norm", np.linalg.norm(expected)))
        error = np.linalg.norm(ours.ravel()[: expected.size] - expected.ravel())
        assert error <= 1e-3 * norm, name
        if key.endswith("#first65536"):
            assert np.linalg.norm(ours) == pytest.approx(norm, rel=1e-3)
