"""The full-size RoI classifier against tensors recorded from the official code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jittor as jt
import numpy as np
import pytest

from unidet.models.clip.attention_pool import AttentionPool
from unidet.models.resnet import ResNet, build_layer
from unidet.models.roi_classifier import RoiClassifier
from unidet.models.roi_samples import RoiSamples, sample_rois
from unidet.models.text_classifier import TextClassifier
from unidet.records import Batch
from unidet.weights.layouts.unidetector import STAGE2
from unidet.weights.load import load_into

pytestmark = pytest.mark.slow

EMBEDDINGS = "bench/clip_embeddings/coco_clip_a+cname_rn50_manyprompt.npy"


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "reference/goldens/stage2_coco.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def network(
    reference: Path, official_weights: Callable[[str], dict[str, np.ndarray]]
) -> RoiClassifier:
    backbone = ResNet(style="clip", width=64, blocks=(3, 4, 6), strides=(1, 2, 2), outputs=(3,))
    classifier = RoiClassifier(
        backbone=backbone,
        shared_layer=build_layer(4, style="clip", width=64, blocks=3, stride=2),
        pool=AttentionPool(size=7, channels=2048, heads=32, embedding=1024),
        classifier=TextClassifier(embedding=1024),
        embedding=1024,
        roi_size=14,
        stride=16,
    )
    official = official_weights("keys_stage2_coco.txt")
    load_into(classifier, STAGE2.from_official(official).arrays)
    classifier.backbone.freeze(1)
    classifier.set_vocabularies([np.load(reference / EMBEDDINGS)])
    return classifier


def error(found: jt.Var | np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected value."""
    found = found.numpy() if isinstance(found, jt.Var) else found
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def feats(network: RoiClassifier, golden: dict[str, np.ndarray]) -> jt.Var:
    return network.features(jt.array(golden["img"]))


def test_features_at_inference(network, golden, feats) -> None:
    assert error(feats, golden["c4"]) < 1e-4
    rois = np.insert(golden["proposals"], 0, 0, axis=1).astype(np.float32)
    crops = network.region_features(feats, rois[:8])
    assert error(crops, golden["roi_feats_first8"]) < 1e-4
    assert error(network.shared_layer(crops), golden["shared_head_first8"]) < 1e-4


def test_heads_at_inference(network, golden, feats) -> None:
    rois = np.insert(golden["proposals"], 0, 0, axis=1).astype(np.float32)
    with jt.no_grad():
        embeddings, deltas = network.heads(feats, rois)
        logits = network.classifier(embeddings, 0)
    assert error(logits, golden["test_cls_score"][:, :80]) < 1e-4
    assert error(deltas, golden["test_bbox_pred"]) < 1e-4


def test_sampled_regions_and_targets(golden) -> None:
    batch = Batch(
        images_NCHW=golden["img"],
        sizes_N2=np.array([[320, 320]], np.int32),
        scales_N4=np.ones((1, 4), np.float32),
        flips_N2=np.zeros((1, 2), bool),
        boxes=[golden["gt"]],
        labels=[golden["gt_labels"]],
        dataset_ids=np.zeros(1, np.int32),
        image_rows=np.zeros(1, np.int32),
        proposals=[golden["proposals"]],
    )
    stream = np.random.RandomState(123)
    samples = sample_rois(batch, [80], stream, count=512, positive_fraction=0.25)
    np.testing.assert_array_equal(samples.rois_R5, golden["train_rois"])
    np.testing.assert_array_equal(samples.labels_R, golden["roi_tgt/labels"])
    np.testing.assert_allclose(samples.targets_R4, golden["roi_tgt/bbox_targets"], atol=1e-6)


def test_losses_and_gradients(network, golden) -> None:
    labels = golden["roi_tgt/labels"]
    samples = RoiSamples(
        rois_R5=golden["train_rois"],
        labels_R=labels,
        targets_R4=golden["roi_tgt/bbox_targets"],
        datasets_N=np.zeros(1, np.int32),
    )
    classes = np.union1d(labels, golden["fed_sampled"])
    embeddings, deltas = network.heads(
        network.features(jt.array(golden["img"])), golden["train_rois"]
    )
    losses = network.losses(embeddings, deltas, samples, [classes[classes < 80]])
    logits = network.classifier(embeddings, 0)
    parameters = dict(network.named_parameters())
    names = {
        key: key.removeprefix("grad/").split("#")[0] for key in golden if key.startswith("grad/")
    }
    asked = sorted({name for name in names.values() if golden_has_gradient(name)})
    total = losses["loss_class"] + losses["loss_box"]
    gradients = jt.grad(total, [parameters[STAGE2.our_names[name]] for name in asked])
    found = {name: gradient.numpy() for name, gradient in zip(asked, gradients, strict=True)}

    assert error(logits, golden["train_cls_score"][:, :80]) < 1e-4
    assert error(deltas, golden["train_bbox_pred"]) < 1e-4
    for ours, official in (("loss_class", "loss_cls"), ("loss_box", "loss_bbox")):
        assert losses[ours].item() == pytest.approx(float(golden[f"loss/{official}"]), rel=1e-5)
    for key, name in names.items():
        if name not in found:
            assert parameters[STAGE2.our_names[name]].is_stop_grad()
            continue
        norm = np.linalg.norm(found[name].astype(np.float64))
        if key.endswith("#norm"):
            assert norm == pytest.approx(float(golden[key]), rel=1e-3)
            continue
        expected = golden[key]
        part = found[name].reshape(-1)[: expected.size].reshape(expected.shape)
        assert np.linalg.norm(part - expected) < 1e-3 * norm, key


def golden_has_gradient(name: str) -> bool:
    """The stem and layer1 are frozen officially; the recordings hold a placeholder for them."""
    return not name.startswith(("backbone.conv1", "backbone.layer1"))
