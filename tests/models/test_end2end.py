"""A small network end to end: both parts learn from one batch, and its detections stay inside."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.models.end2end import EndToEnd
from unidet.models.rpn_head import RPNHead
from unidet.ops.loss_term import loss_values, total
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.records import Batch

SIDE = 64
RPN = networks.small_rpn_head()


def _network() -> EndToEnd:
    jt.set_global_seed(1)
    settings = networks.small_classifier(roi_samples=16)
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
    values = loss_values(network.loss(network.prepare(_batch(boxes), rng), rng))
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


def test_what_is_proposed_alone_is_what_is_named() -> None:
    network, batch = _network(), _batch([[]])
    images, sizes = jt.array(batch.images_NCHW), np.array([[SIDE, SIDE]], np.int32)
    (alone,) = network.propose(images, sizes)
    ((proposals, _, _),) = network.detect_regions(images, sizes)
    np.testing.assert_array_equal(proposals, alone)
    ((best, boxes, embeddings),) = network.detect_regions(images, sizes, most=3)
    np.testing.assert_array_equal(best, alone[:3])
    assert len(boxes) == len(embeddings) == 3


def test_names_are_those_of_the_boxes_of_all_images() -> None:
    """One data set: every image with the same names, the other processes' among them."""
    network, batch = _network(), _batch([[[4, 4, 40, 30]], []])
    elsewhere = np.array([False, False, False, True, False, False])
    drawn = network.prepare(batch, np.random.default_rng(0), lambda flags: flags | elsewhere)
    assert [classes.tolist() for classes in drawn.classes] == [[1, 3]] * 2
    first, second = drawn.parts(2)
    assert (len(first.images.boxes[0]), len(second.images.boxes[0])) == (1, 0)
    assert [part.classes for part in (first, second)] == [drawn.classes[:1], drawn.classes[1:]]
