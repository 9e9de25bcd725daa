"""RT-DETR as the pipelines use it: one class, losses of a batch, proposals, detections."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.models.rtdetr.network import RTDETR, best_pairs
from unidet.ops.loss_term import loss_values
from unidet.ops.sampling import BatchRandom
from unidet.records import Batch


@pytest.fixture(scope="module")
def network() -> RTDETR:
    return RTDETR(networks.rtdetr(queries=30, train_sides=(64,)), classes=1)


@pytest.fixture(scope="module")
def batch() -> Batch:
    rng = np.random.default_rng(0)
    return make_batch(
        rng.uniform(size=(2, 3, 96, 96)), [[[10, 10, 50, 60]], []], sizes=[[96, 96], [80, 96]]
    )


def test_losses_depend_on_the_generator_alone(network: RTDETR, batch: Batch) -> None:
    runs = [loss_values(network.loss(batch, BatchRandom(seed))) for seed in (1, 1, 2)]
    assert set(runs[0]) == {
        f"loss_{kind}{suffix}"
        for kind in ("vfl", "bbox", "giou")
        for suffix in ("", "_aux_0", "_aux_1", "_aux_2", "_dn_0", "_dn_1", "_dn_2")
    }
    first, again, other = ({k: v.item() for k, v in losses.items()} for losses in runs)
    assert first == again
    assert first["loss_bbox_dn_0"] != other["loss_bbox_dn_0"]
    assert all(np.isfinite(value) for value in first.values())


def test_a_batch_without_boxes(network: RTDETR, batch: Batch) -> None:
    """No denoising queries; the classes alone have something to learn."""
    batch = make_batch(batch.images_NCHW, [[], []], sizes=batch.sizes_N2)
    losses = loss_values(network.loss(batch, BatchRandom(0)))
    assert len(losses) == 21
    positive = {name for name, value in losses.items() if value.item() > 0}
    assert positive == {"loss_vfl", "loss_vfl_aux_0", "loss_vfl_aux_1", "loss_vfl_aux_2"}


def test_proposals_and_detections(network: RTDETR, batch: Batch) -> None:
    images = jt.array(batch.images_NCHW)
    proposals = network.propose(images, batch.sizes_N2)
    assert [rows.shape for rows in proposals] == [(30, 5)] * 2
    for rows, (height, width) in zip(proposals, batch.sizes_N2, strict=True):
        assert (np.diff(rows[:, 4]) <= 0).all()
        assert (rows[:, :4] >= 0).all()
        assert (rows[:, [0, 2]] <= width).all()
        assert (rows[:, [1, 3]] <= height).all()
    detected = network.detect(images, batch.sizes_N2, max_detections=7)
    assert [len(image.scores) for image in detected] == [7, 7]
    np.testing.assert_allclose(detected[0].scores, proposals[0][:7, 4], rtol=1e-5)


def test_sides_that_are_no_multiples_of_32_are_refused(network: RTDETR) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        network.predict(jt.zeros((1, 3, 96, 112)))


def test_best_pairs_by_hand() -> None:
    boxes = np.arange(8, dtype=np.float32).reshape(2, 4)
    detected = best_pairs(boxes, np.array([[0.1, 0.9], [0.8, 0.3]], np.float32), 3)
    assert detected.labels.tolist() == [1, 0, 1]
    assert detected.boxes[:, 0].tolist() == [0, 4, 4]
