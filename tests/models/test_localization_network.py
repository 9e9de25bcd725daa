"""Small networks with either proposal head: overfitting two images, images without objects."""

from __future__ import annotations

from typing import Any

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.models import box_head
from unidet.models.localization_network import LocalizationNetwork
from unidet.ops.loss_term import loss_values, total
from unidet.ops.numpy_boxes import pairwise_iou_numpy
from unidet.pipelines.proposers import cln, rpn
from unidet.records import Batch

SIZE = 64


def _shared() -> dict[str, Any]:
    return {
        "backbone": networks.small_resnet(width=16),
        "outputs": (2, 3),
        "channels": 32,
        "levels": 2,
        "region_levels": 2,
        "hidden": 64,
        "pool_size": 5,
        "finest_scale": 16.0,
        "proposal_nms": 0.8,
        "max_rois": 50,
        "roi_samples": 32,
        "positive_fraction": 0.5,
        "final_nms": 0.7,
        "batch_norm_training": True,
    }


def _network(**changes: Any) -> LocalizationNetwork:
    """A CLN."""
    jt.set_global_seed(1)
    own = {"anchor_scale": 4.0, "objectness": "iou", "box_loss": "giou", "box_loss_weight": 2.0}
    return cln.build(networks.cln(**(_shared() | own | changes)), classes=0, is_trained=True)


def _with_rpn(**changes: Any) -> LocalizationNetwork:
    jt.set_global_seed(1)
    own = {"anchor_scales": (2.0, 4.0), "score_threshold": 0.0}
    return rpn.build(networks.rpn(**(_shared() | own | changes)), classes=0, is_trained=True)


BUILDERS = {"cln": _network, "rpn": _with_rpn}


OFFICIAL: dict[str, Any] = {
    "objectness": "centerness",
    "box_loss": "iou",
    "box_loss_weight": 10.0,
    "proposal_nms": 0.0,
    "max_rois": 0,
    "batch_norm_training": False,
    "compat": "official",
}


def _batch(boxes: list[np.ndarray], seed: int = 0) -> Batch:
    """Noise with one bright rectangle per box."""
    rng = np.random.default_rng(seed)
    count = len(boxes)
    images = 0.2 * rng.normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)
    for image, image_boxes in zip(images, boxes, strict=True):
        for left, top, right, bottom in image_boxes.astype(int):
            image[:, top:bottom, left:right] += rng.uniform(1, 2, size=(3, 1, 1))
    return make_batch(images, boxes)


TWO_IMAGES = [
    np.array([[6, 8, 26, 34], [36, 30, 60, 50]], np.float32),
    np.array([[20, 12, 50, 26], [8, 40, 24, 58], [40, 36, 56, 60]], np.float32),
]
NO_BOXES = np.zeros((0, 4), np.float32)


@pytest.mark.parametrize("kind", BUILDERS)
def test_it_overfits_two_images(kind: str) -> None:
    network, batch = BUILDERS[kind](), _batch(TWO_IMAGES)
    parameters = [var for var in network.parameters() if not var.is_stop_grad()]
    optimizer = jt.optim.AdamW(parameters, 5e-3)
    for step in range(90):
        optimizer.step(total(loss_values(network.loss(batch, np.random.default_rng(step)))))
        jt.sync_all()
    of_both = network.propose(jt.array(batch.images_NCHW), batch.sizes_N2)
    for boxes, proposals in zip(TWO_IMAGES, of_both, strict=True):
        best = proposals[: len(boxes), :4]
        assert pairwise_iou_numpy(boxes, best).max(axis=1).min() > 0.7
        assert (np.diff(proposals[:, 4]) <= 0).all()


@pytest.mark.parametrize(
    ("kind", "settings", "dead"),
    [
        ("cln", {}, []),
        ("cln", OFFICIAL, ["rpn_head.rpn_cls.weight", "rpn_head.rpn_cls.bias"]),
        ("rpn", {}, []),
    ],
)
def test_every_weight_gets_a_gradient(kind: str, settings: dict[str, Any], dead: list[str]) -> None:
    """A CLN's official classifier apart, which is trained with weight 0."""
    network = BUILDERS[kind](**settings)
    trainable = {name: var for name, var in network.named_parameters() if not var.is_stop_grad()}
    loss = total(loss_values(network.loss(_batch(TWO_IMAGES), np.random.default_rng(0))))
    gradients = jt.grad(loss, list(trainable.values()))
    still = [
        name
        for name, gradient in zip(trainable, gradients, strict=True)
        if not np.abs(gradient.numpy()).max() > 0
    ]
    assert still == dead


@pytest.mark.parametrize(("kind", "settings"), [("cln", {}), ("cln", OFFICIAL), ("rpn", {})])
@pytest.mark.parametrize(
    "boxes", [[NO_BOXES], [NO_BOXES, TWO_IMAGES[0][:1]]], ids=["none", "one box in the second"]
)
def test_images_without_objects_are_negatives(
    kind: str, settings: dict[str, Any], boxes: list[np.ndarray]
) -> None:
    network = BUILDERS[kind](**settings)
    values = loss_values(network.loss(_batch(boxes), np.random.default_rng(0)))
    numbers = {name: value.item() for name, value in values.items()}
    assert all(np.isfinite(value) for value in numbers.values())
    assert numbers["loss_rpn_obj" if kind == "cln" else "loss_rpn_cls"] > 0
    assert numbers["loss_cls"] > 0
    if not len(boxes[-1]):
        assert numbers["positives"] == 0
        assert numbers["loss_bbox"] == numbers["loss_rpn_bbox"] == 0
    gradient = jt.grad(total(values), network.backbone.conv1.weight).numpy()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("kind", BUILDERS)
def test_proposals_stay_in_their_image_and_below_the_limits(kind: str) -> None:
    network = BUILDERS[kind](max_proposals=7)
    sizes = np.array([[SIZE, SIZE], [40, 24]], np.int32)
    of_both = network.propose(jt.array(_batch(TWO_IMAGES).images_NCHW), sizes)
    for proposals, (height, width) in zip(of_both, sizes, strict=True):
        assert 0 < len(proposals) <= 7
        assert proposals.dtype == np.float32
        assert (proposals[:, :4] >= 0).all()
        assert (proposals[:, [0, 2]] <= width).all()
        assert (proposals[:, [1, 3]] <= height).all()


def test_a_single_region_is_enough() -> None:
    network, batch = _network(max_rois=1), _batch(TWO_IMAGES[:1])
    assert len(network.propose(jt.array(batch.images_NCHW), batch.sizes_N2)[0]) == 1


def test_the_score_fuses_class_objectness_and_overlap() -> None:
    """class^alpha * (objectness * IoU)^(1 - alpha) with logits set by hand."""
    network = _network(alpha=0.3, final_nms=1.0, proposal_nms=0.0, max_rois=0)
    for layer, bias in (
        (network.box_head.fc_cls, [np.log(3.0), 0.0]),
        (network.box_head.fc_bbox_score, [0.0]),
        (network.rpn_head.rpn_obj, [-np.log(4.0)]),
    ):
        layer.weight.update(jt.zeros_like(layer.weight))
        layer.bias.update(jt.array(np.array(bias, np.float32)))
    proposals = network.propose(jt.array(_batch([NO_BOXES]).images_NCHW), np.array([[SIZE, SIZE]]))
    # Class probability 3/4, objectness 1/5, overlap 1/2, for every anchor of both levels.
    assert len(proposals[0]) == 16 * 16 + 8 * 8
    np.testing.assert_allclose(proposals[0][:, 4], 0.75**0.3 * 0.1**0.7, rtol=1e-5)


def test_only_scores_above_the_threshold_are_proposals() -> None:
    head = _with_rpn(score_threshold=0.5, final_nms=1.0).box_head
    rows = np.array([[0, 0, 9, 9, 0.5], [1, 0, 9, 9, 0.6], [2, 0, 9, 9, 0.7]], np.float32)
    assert head.suppressed(rows)[:, 4].tolist() == rows[[2, 1], 4].tolist()


def test_regions_of_all_levels_and_images_in_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every region has the outputs that it has alone, whatever else is in its pass."""
    monkeypatch.setattr(box_head, "REGIONS_PER_PASS", 3)
    network = _with_rpn()
    network.backbone.set_batch_norm_training(False)
    rng = np.random.default_rng(5)
    corners = rng.uniform(0, 30, (8, 2))
    sides = np.array([[9, 40, 12, 31, 8, 60, 33, 20]]).T + np.zeros((1, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    proposals = [boxes[:5], boxes[5:]]
    with jt.no_grad():
        feats = network.pyramid(jt.array(_batch(TWO_IMAGES).images_NCHW))
        output = network.box_head.in_passes(feats, proposals)
        images = np.repeat([0, 1], [5, 3])
        assert set(network.box_head.levels_of(np.c_[images, boxes].astype(np.float32))) == {0, 1}
        for row, (image, box) in enumerate(zip(images, boxes, strict=True)):
            alone = network.box_head(feats, np.array([[image, *box]], np.float32))
            for found, wanted in zip(vars(output).values(), vars(alone).values(), strict=True):
                np.testing.assert_allclose(found[row].numpy(), wanted[0].numpy(), atol=1e-6)


def test_no_proposal_at_all() -> None:
    """Where every box lies outside the image nothing reaches the RoI stage."""
    network = _with_rpn()
    nothing = [np.zeros((0, 5), np.float32)] * 2
    feats = network.pyramid(jt.array(_batch(TWO_IMAGES).images_NCHW))
    output = network.box_head.in_passes(feats, nothing)
    refined = network.box_head.refined(nothing, output, np.array([[SIZE, SIZE]] * 2))
    assert [network.box_head.suppressed(rows).shape for rows in refined] == [(0, 5)] * 2
