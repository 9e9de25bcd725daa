"""A toy-size CLN: it overfits two images, and takes images without objects."""

from __future__ import annotations

from typing import Any

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.models.cln import CLN
from unidet.ops.loss_term import total, undivided
from unidet.ops.numpy_boxes import pairwise_iou_numpy
from unidet.pipelines.proposers.cln import build
from unidet.records import Batch

SIZE = 64


def _network(**changes: Any) -> CLN:
    jt.set_global_seed(1)
    settings: dict[str, Any] = {
        "backbone": networks.small_resnet(width=16),
        "outputs": (2, 3),
        "channels": 32,
        "levels": 2,
        "region_levels": 2,
        "anchor_scale": 4.0,
        "hidden": 64,
        "pool_size": 5,
        "finest_scale": 16.0,
        "objectness": "iou",
        "box_loss": "giou",
        "box_loss_weight": 2.0,
        "proposal_nms": 0.8,
        "max_rois": 50,
        "roi_samples": 32,
        "positive_fraction": 0.5,
        "final_nms": 0.7,
        "batch_norm_training": True,
    }
    return build(networks.cln(**(settings | changes)), classes=0, is_trained=True)


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


def test_it_overfits_two_images() -> None:
    network, batch = _network(), _batch(TWO_IMAGES)
    parameters = [var for var in network.parameters() if not var.is_stop_grad()]
    optimizer = jt.optim.AdamW(parameters, 5e-3)
    for step in range(60):
        optimizer.step(total(undivided(network.loss(batch, np.random.default_rng(step)))))
        jt.sync_all()
    of_both = network.propose(jt.array(batch.images_NCHW), batch.sizes_N2)
    for boxes, proposals in zip(TWO_IMAGES, of_both, strict=True):
        best = proposals[: len(boxes), :4]
        assert pairwise_iou_numpy(boxes, best).max(axis=1).min() > 0.7
        assert (np.diff(proposals[:, 4]) <= 0).all()


@pytest.mark.parametrize(
    ("settings", "dead"),
    [({}, []), (OFFICIAL, ["rpn_head.rpn_cls.weight", "rpn_head.rpn_cls.bias"])],
    ids=["default", "official"],
)
def test_every_weight_gets_a_gradient(settings: dict[str, Any], dead: list[str]) -> None:
    """The official head's classifier apart, which is trained with weight 0."""
    network = _network(**settings)
    trainable = {name: var for name, var in network.named_parameters() if not var.is_stop_grad()}
    loss = total(undivided(network.loss(_batch(TWO_IMAGES), np.random.default_rng(0))))
    gradients = jt.grad(loss, list(trainable.values()))
    still = [
        name
        for name, gradient in zip(trainable, gradients, strict=True)
        if not np.abs(gradient.numpy()).max() > 0
    ]
    assert still == dead


@pytest.mark.parametrize("settings", [{}, OFFICIAL], ids=["default", "official"])
@pytest.mark.parametrize(
    "boxes", [[NO_BOXES], [NO_BOXES, TWO_IMAGES[0][:1]]], ids=["none", "one box in the second"]
)
def test_images_without_objects_are_negatives(
    settings: dict[str, Any], boxes: list[np.ndarray]
) -> None:
    network = _network(**settings)
    values = undivided(network.loss(_batch(boxes), np.random.default_rng(0)))
    numbers = {name: value.item() for name, value in values.items()}
    assert all(np.isfinite(value) for value in numbers.values())
    assert numbers["loss_rpn_obj"] > 0
    assert numbers["loss_cls"] > 0
    if not len(boxes[-1]):
        assert numbers["positives"] == 0
        assert numbers["loss_bbox"] == numbers["loss_rpn_bbox"] == 0
    gradient = jt.grad(total(values), network.backbone.conv1.weight).numpy()
    assert np.isfinite(gradient).all()


def test_proposals_stay_in_their_image_and_below_the_limits() -> None:
    network = _network(max_proposals=7)
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
