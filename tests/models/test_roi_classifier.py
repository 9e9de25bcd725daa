"""The RoI classifier at a small size: losses against numpy, regions, what learns and what does not.

Its numbers at full size are checked against the official code's in test_roi_classifier_parity.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.models import roi_classifier
from unidet.models.roi_classifier import RoiClassifier
from unidet.models.roi_samples import RoiSamples
from unidet.ops.loss_term import loss_values
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.records import Batch

random = np.random.default_rng(11)
TEXTS = [random.standard_normal((5, 6)), random.standard_normal((3, 6))]


def build(texts: Sequence[np.ndarray] = TEXTS, mean: bool = False, **fields: Any) -> RoiClassifier:
    backbone = networks.small_resnet(width=4, frozen_stages=1)
    pool = "mean" if mean else "attention"
    settings = networks.small_classifier(backbone=backbone, pool=pool, heads=2, **fields)
    network = build_classifier(settings)
    network.set_vocabularies(texts)
    return network


@pytest.fixture(scope="module")
def network() -> RoiClassifier:
    jt.set_global_seed(1)
    return build()


def batch() -> Batch:
    proposals = [[5, 5, 30, 40, 0.9], [0, 40, 20, 64, 0.8], [40, 0, 64, 9, 0.1]]
    return make_batch(
        random.standard_normal((2, 3, 64, 64)),
        [[[4, 4, 30, 40], [20, 10, 60, 60]], []],
        [[4, 0], []],
        datasets=[0, 1],
        proposals=[proposals] * 2,
    )


def values(network: RoiClassifier, batch: Batch, seed: int = 0) -> dict[str, jt.Var]:
    rng = np.random.default_rng(seed)
    return loss_values(network.loss(network.sample(batch, rng), rng))


def expected_class_loss(
    embeddings: np.ndarray, samples: RoiSamples, classes: list[np.ndarray], image: int
) -> float:
    """Sum over an image's regions and the chosen names of the binary cross entropy."""
    text = TEXTS[samples.datasets_N[image]]
    text = text / np.linalg.norm(text, axis=1, keepdims=True)
    total = 0.0
    for row in np.flatnonzero(samples.images_R == image):
        for name in classes[image]:
            logit = 8 * float(embeddings[row] @ text[name]) - 1
            sign = 1 if samples.labels_R[row] == name else -1
            total += np.log1p(np.exp(-sign * logit))
    return total


SAMPLES = RoiSamples(
    rois_R5=np.array([[0, 0, 0, 9, 9], [0, 9, 9, 20, 20], [1, 0, 9, 9, 18]], np.float32),
    labels_R=np.array([2, 5, 1]),
    targets_R4=np.array([[1, 0, 0, -1], [9, 9, 9, 9], [0, 0.5, 0, 0]], np.float32),
    datasets_N=np.array([0, 1]),
)


def heads() -> tuple[np.ndarray, np.ndarray]:
    embeddings = random.standard_normal((3, 6)).astype(np.float32)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), np.zeros((3, 4))


def test_partitioned_losses(network: RoiClassifier) -> None:
    embeddings, deltas = heads()
    classes = [np.array([0, 2, 3]), np.array([1])]
    outputs = jt.array(embeddings), jt.array(deltas.astype(np.float32))
    losses = loss_values(network.losses(*outputs, SAMPLES, classes))
    first = expected_class_loss(embeddings, SAMPLES, classes, 0) / 2
    second = expected_class_loss(embeddings, SAMPLES, classes, 1) / 1
    assert losses["loss_class"].item() == pytest.approx((first + second) / 2, rel=1e-5)
    # The background's targets do not count, but the background does in the divisor.
    assert losses["loss_box"].item() == pytest.approx((2 + 0.5) / 3, rel=1e-5)
    assert losses["positives"].item() == 2


def test_the_weight_of_the_boxes_touches_no_other_loss(network: RoiClassifier) -> None:
    embeddings, deltas = heads()
    outputs = jt.array(embeddings), jt.array(deltas.astype(np.float32))
    classes = [np.array([0, 2, 3]), np.array([1])]
    plain, weighted = (
        loss_values(classifier.losses(*outputs, SAMPLES, classes))
        for classifier in (network, build(box_loss_weight=0.1))
    )
    assert weighted["loss_box"].item() == pytest.approx(0.1 * (2 + 0.5) / 3, rel=1e-5)
    assert weighted["loss_class"].item() == plain["loss_class"].item()


def test_losses_of_a_single_dataset() -> None:
    single = build(TEXTS[:1])
    samples = RoiSamples(SAMPLES.rois_R5, SAMPLES.labels_R, SAMPLES.targets_R4, np.zeros(2, int))
    embeddings, deltas = heads()
    classes = [np.array([1, 2])] * 2
    outputs = jt.array(embeddings), jt.array(deltas.astype(np.float32))
    losses = loss_values(single.losses(*outputs, samples, classes))
    total = sum(expected_class_loss(embeddings, samples, classes, image) for image in (0, 1))
    assert losses["loss_class"].item() == pytest.approx(total / 3, rel=1e-5)


def test_a_training_step_reaches_what_learns(network: RoiClassifier) -> None:
    before = {
        name: var.numpy().copy() for name, var in network.named_parameters() if "running" in name
    }
    losses = values(network, batch())
    assert losses["positives"].item() == 3
    named = {name: var for name, var in network.named_parameters() if not var.is_stop_grad()}
    gradients = jt.grad(losses["loss_class"] + losses["loss_box"], list(named.values()))
    still = {n for n, g in zip(named, gradients, strict=True) if not np.abs(g.numpy()).max() > 0}
    # Softmax ignores what is added to every score of a query, so this bias cannot learn.
    assert still == {"pool.k_proj.bias"}
    assert {"backbone.layer2.0.bn1.weight", "shared_layer.0.bn2.bias"} <= set(named)
    assert {"classifier.logit_scale", "classifier.logit_bias"} <= set(named)
    assert not [name for name in named if name.startswith(("backbone.conv", "backbone.layer1"))]
    for name, value in before.items():
        np.testing.assert_array_equal(dict(network.named_parameters())[name].numpy(), value)


def test_a_batch_without_any_region(network: RoiClassifier) -> None:
    empty = batch()
    empty.boxes = [np.zeros((0, 4), np.float32)] * 2
    empty.labels = [np.zeros(0, np.int64)] * 2
    empty.proposals = [np.zeros((0, 5), np.float32)] * 2
    assert {name: value.item() for name, value in values(network, empty).items()} == {
        "loss_class": 0,
        "loss_box": 0,
        "positives": 0,
    }


def test_the_same_stream_gives_the_same_loss(network: RoiClassifier) -> None:
    training_batch = batch()
    first, second, other = (
        values(network, training_batch, seed)["loss_class"].item() for seed in (0, 0, 3)
    )
    assert first == second != other


def test_regions(network: RoiClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    images = jt.array(random.standard_normal((3, 3, 64, 64)).astype(np.float32))
    sizes = np.array([[64, 64], [50, 40], [64, 64]], np.int32)
    whole = np.array([[-5, -5, 64, 64, 0.5]], np.float32)
    several = np.array([[8, 8, 24, 40, 0.9], [30, 30, 60, 62, 0.3], [1, 2, 3, 4, 0.2]], np.float32)
    proposals = [several, whole, np.zeros((0, 5), np.float32)]
    regions = network.regions(images, sizes, proposals)
    assert [boxes.shape for boxes, _ in regions] == [(3, 4), (1, 4), (0, 4)]
    assert [embeddings.shape for _, embeddings in regions] == [(3, 6), (1, 6), (0, 6)]
    np.testing.assert_allclose(np.linalg.norm(regions[0][1], axis=1), 1, atol=1e-5)
    # The box head starts near zero: boxes stay where they are, cut to the image's own size.
    np.testing.assert_allclose(regions[0][0], several[:, :4], atol=0.5)
    np.testing.assert_array_equal(regions[1][0], [[0, 0, 40, 50]])

    monkeypatch.setattr(roi_classifier, "_ROIS_A_PASS", 2)
    for part, again in zip(regions, network.regions(images, sizes, proposals), strict=True):
        np.testing.assert_allclose(again[0], part[0], atol=1e-4)
        np.testing.assert_allclose(again[1], part[1], atol=1e-5)
    alone = network.regions(images[1:2], sizes[1:2], [whole[:, :4]])
    np.testing.assert_allclose(alone[0][1], regions[1][1], atol=1e-5)
    ((boxes, embeddings),) = network.regions(images[:1], sizes[:1], proposals[2:])
    assert boxes.shape == (0, 4)
    assert embeddings.shape == (0, 6)


def test_mean_pool() -> None:
    network = build(mean=True)
    losses = values(network, batch())
    gradient = jt.grad(losses["loss_class"], network.pool.projection.weight)
    assert gradient.shape == [6, 32]
    assert np.abs(gradient.numpy()).max() > 0
