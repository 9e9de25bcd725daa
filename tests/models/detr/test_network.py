"""DETR as the pipelines use it: one class, losses of a batch, proposals, detections."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.models.detr.network import DETR
from unidet.models.transformer_layers import Dropout, set_dropout_training
from unidet.ops.loss_term import loss_values
from unidet.ops.sampling import BatchRandom
from unidet.records import Batch
from unidet.training.optimizer import trainable


@pytest.fixture(scope="module")
def network() -> DETR:
    built = DETR(networks.detr(queries=10, dropout=0.3), classes=1)
    jt.sync_all()  # weights still to be drawn would take from the dropout's stream
    return built


@pytest.fixture(scope="module")
def batch() -> Batch:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 3, 96, 80)).astype(np.float32)
    images[1, :, 70:] = 0
    return make_batch(images, [[[10, 10, 50, 60]], []], sizes=[[96, 80], [70, 80]])


def test_losses_depend_on_the_generator_alone(network: DETR, batch: Batch) -> None:
    """Dropout among them: its seed is drawn from the generator."""
    runs = [loss_values(network.loss(batch, BatchRandom(seed))) for seed in (1, 1, 2)]
    names = {
        f"loss_{kind}{i}"
        for kind in ("ce", "bbox", "giou")
        for i in ("", *map("_{}".format, range(5)))
    }
    assert set(runs[0]) == names | {"class_error", "cardinality_error"}
    first, again, other = ({k: v.item() for k, v in losses.items()} for losses in runs)
    assert first == again
    assert first["loss_ce"] != other["loss_ce"]
    assert all(np.isfinite(value) for value in first.values())


def test_proposals_and_detections(network: DETR, batch: Batch) -> None:
    """Without dropout, so twice the same; clipped to the unpadded image."""
    images = jt.array(batch.images_NCHW)
    proposals, again = (network.propose(images, batch.sizes_N2) for _ in range(2))
    np.testing.assert_array_equal(proposals[1], again[1])
    assert [rows.shape for rows in proposals] == [(10, 5)] * 2
    assert (proposals[1][:, [1, 3]] <= 70).all()
    assert (np.diff(proposals[1][:, 4]) <= 0).all()
    detected = network.detect(images, batch.sizes_N2)
    np.testing.assert_allclose(detected[0].scores, proposals[0][:, 4], rtol=1e-5)
    assert set(detected[0].labels) == {0}


@pytest.mark.parametrize("learning", [False, True])
def test_norms_of_the_backbone(learning: bool, batch: Batch) -> None:
    """As officially they keep what they were given; one from scratch needs the batch's."""
    frozen = 0 if learning else 1
    settings = networks.detr(queries=10, frozen_stages=frozen, batch_norm_training=learning)
    network = DETR(settings, classes=1)
    norm = network.backbone.bn1
    names = trainable(network)
    assert ("backbone.bn1.weight" in names) == ("backbone.layer1.0.conv1.weight" in names)
    assert ("backbone.bn1.weight" in names) == ("backbone.layer4.0.bn1.weight" in names) == learning
    before = norm.running_mean.numpy()
    network.propose(jt.array(batch.images_NCHW), batch.sizes_N2)
    np.testing.assert_array_equal(norm.running_mean.numpy(), before)
    losses = loss_values(network.loss(batch, BatchRandom(1)))
    jt.sync_all()
    assert losses["loss_ce"].item() > 0
    assert (norm.running_mean.numpy() != before).all() == learning


def test_dropout_keeps_the_mean() -> None:
    layer = Dropout(0.25)
    ones = jt.ones((1000, 100))
    assert layer(ones) is ones
    set_dropout_training(layer, True)
    dropped = layer(ones).numpy()
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert dropped.mean() == pytest.approx(1, abs=0.01)
