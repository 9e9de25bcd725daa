"""A small network end to end: both parts learn from one batch, and its detections stay inside."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.config.networks import RPNHeadConfig
from unidet.models.end2end import EndToEnd
from unidet.models.rpn_head import RPNHead
from unidet.ops.loss_term import total, undivided
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.records import Batch

SIDE = 64
RPN = RPNHeadConfig(
    channels=32,
    anchor_scales=(2.0, 4.0),
    anchor_ratios=(0.5, 1.0),
    anchor_iou=(0.7, 0.3),
    minimum_iou=0.3,
    rpn_samples=32,
    proposal_nms=0.7,
    proposals_per_level=200,
    max_rois=60,
    test_proposals_per_level=100,
    test_max_rois=20,
)


def _network() -> EndToEnd:
    jt.set_global_seed(1)
    settings = networks.classifier(
        backbone=networks.small_resnet(),
        pool="mean",
        pool_size=4,
        embedding=6,
        federated_classes=3,
        roi_samples=16,
    )
    regions = build_classifier(settings)
    regions.set_vocabularies([np.random.default_rng(2).standard_normal((5, 6)).astype("f4")])
    return EndToEnd(regions, RPNHead(RPN, (8,)), RPN)


def _batch(boxes: list[list[list[float]]]) -> Batch:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((len(boxes), 3, SIDE, SIDE)).astype(np.float32)
    arrays = [np.array(own, np.float32).reshape(-1, 4) for own in boxes]
    return make_batch(images, arrays, [[1] * len(own) for own in boxes])


@pytest.mark.parametrize("boxes", [[[[4, 4, 40, 30]], []], [[]]], ids=["a box in one", "no box"])
def test_both_parts_learn(boxes: list[list[list[float]]]) -> None:
    network = _network()
    rng = np.random.default_rng(0)
    values = undivided(network.loss(network.prepare(_batch(boxes), rng), rng))
    assert list(values)[:4] == ["loss_rpn_cls", "loss_rpn_bbox", "loss_class", "loss_box"]
    assert all(np.isfinite(value.item()) for value in values.values())
    shared = network.regions.backbone.layer3[0].conv1.weight
    head = network.rpn_head.rpn_conv.weight
    for gradient in jt.grad(total(values), [shared, head]):
        assert np.isfinite(gradient.numpy()).all()
        assert np.abs(gradient.numpy()).max() > 0
    # The RPN's losses reach the map that the regions are pooled from.
    (gradient,) = jt.grad(values["loss_rpn_cls"], [shared])
    assert np.abs(gradient.numpy()).max() > 0


def test_regions_in_their_images_under_the_limits_of_inference() -> None:
    batch = _batch([[], []])
    sizes = np.array([[SIDE, SIDE], [40, 24]], np.int32)
    by_images = _network().detect_regions(jt.array(batch.images_NCHW), sizes)
    for (proposals, boxes, embeddings), (height, width) in zip(by_images, sizes, strict=True):
        assert 0 < len(proposals) <= RPN.test_max_rois
        assert (np.diff(proposals[:, 4]) <= 0).all()
        assert (boxes >= 0).all()
        assert (boxes <= [width, height, width, height]).all()
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
