"""The networks of `experiment=coco_o365` at the paper's image size: a training step, an inference.

One image of 800 x 1088 pixels. On a CPU stage 1 takes 22 s and 2.6 GB, stage 2 61 s and 8.1 GB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from batches import make_batch

from unidet.backend.runtime import bring_up
from unidet.cli import compose
from unidet.config.training import OptimizerConfig
from unidet.records import Batch

pytestmark = pytest.mark.slow
HEIGHT, WIDTH = 800, 1088
OBJECTS = np.array([[40, 60, 400, 500], [500, 300, 900, 700], [100, 600, 180, 760]], np.float32)
LABELS = np.array([3, 17, 300], np.int32)


@pytest.fixture(scope="module", autouse=True)
def jittor() -> None:
    bring_up("cpu")


@pytest.fixture(scope="module")
def batch() -> Batch:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, [WIDTH - 64, HEIGHT - 64], (2000, 2))
    sides = rng.uniform(16, 64, (2000, 2))
    near = np.repeat(OBJECTS, 100, axis=0) + rng.normal(0, 12, (300, 4))
    boxes = np.concatenate([near, np.concatenate([corners, corners + sides], axis=1)])
    boxes = np.clip(boxes, 0, [WIDTH, HEIGHT] * 2)
    scores = rng.uniform(0, 1, (len(boxes), 1))
    return make_batch(
        rng.standard_normal((1, 3, HEIGHT, WIDTH), np.float32),
        [OBJECTS],
        [LABELS],
        datasets=[1],
        proposals=[np.concatenate([boxes, scores], axis=1)],
    )


def step(network: Any, batch: Batch, settings: OptimizerConfig) -> dict[str, float]:
    """One update at the official rate; the losses, after checking that parameters moved."""
    from unidet.training.optimizer import Optimizer
    from unidet.training.step import Stepper, as_it_is

    optimizer = Optimizer(network, settings)
    names = optimizer.names
    before = {name: float(var.sum().item()) for name, var in network.named_parameters()}
    loss_of = getattr(network, "loss_in_pieces", network.loss)
    prepare = getattr(network, "sample", as_it_is)
    values = Stepper(network, loss_of, prepare, optimizer, parts=1)(batch, (0, 0), 1.0)
    losses = {name: float(x.item()) for name, x in values.items() if name.startswith("loss")}
    after = {name: float(var.sum().item()) for name, var in network.named_parameters()}
    assert np.isfinite(list(after.values())).all()
    moved = [name for name in names if after[name] != before[name]]
    assert len(moved) > 0.9 * len(names)
    assert all(after[name] == before[name] for name in before if name not in names)
    return losses


def test_the_first_stage(batch: Batch) -> None:
    import jittor as jt

    from unidet.pipelines.proposers.proposer import build_proposer

    config = compose(["experiment=coco_o365"]).rpn
    network = build_proposer(config, 0)
    losses = step(network, batch, config.training.optimizer)
    assert set(losses) == {
        *("loss", "loss_rpn_bbox", "loss_rpn_obj"),
        *("loss_cls", "loss_bbox", "loss_bbox_score"),
    }
    assert np.isfinite(list(losses.values())).all()
    (proposals,) = network.propose(jt.array(batch.images_NCHW), batch.sizes_N2)
    assert proposals.shape[1] == 5
    assert 0 < len(proposals) <= 1500
    assert (np.diff(proposals[:, 4]) <= 0).all()
    assert (proposals[:, :4] >= 0).all()
    assert (proposals[:, :4] <= [WIDTH, HEIGHT] * 2).all()


def test_the_second_stage(batch: Batch) -> None:
    import jittor as jt

    from unidet.pipelines.wiring.classifier import build_classifier

    config = compose(["experiment=coco_o365"]).roi
    network = build_classifier(config.network)
    rng = np.random.default_rng(1)
    network.set_vocabularies([rng.standard_normal((count, 1024)) for count in (80, 365)])
    losses = step(network, batch, config.training.optimizer)
    # Random embeddings: 100 x a cosine of spread 1/32, about 1.4 nats for each of 49 names.
    assert 20 < losses["loss_class"] < 200
    assert np.isfinite(losses["loss_box"])
    proposals = [batch.proposals[0][:300]]
    ((boxes, embeddings),) = network.regions(jt.array(batch.images_NCHW), batch.sizes_N2, proposals)
    assert boxes.shape == (300, 4)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
