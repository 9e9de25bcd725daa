"""Weights whose norms were folded away, made fit for training."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.models.folded import is_folded, norms_below
from unidet.models.layers import set_batch_norm_training
from unidet.models.nanodet_plus.detector import NanoDetPlus


@pytest.fixture
def net() -> NanoDetPlus:
    """As from ncnn: norms that only add a bias, and an auxiliary neck with weights of its own."""
    jt.set_global_seed(0)
    rng = np.random.default_rng(0)
    built = NanoDetPlus(networks.small_nanodet_plus(), classes=3, auxiliary=True)
    for norm in norms_below(built):
        norm.bias.update(jt.array(rng.normal(0, 0.1, norm.bias.shape).astype(np.float32)))
    return built


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(4, 3, 128, 128)).astype(np.float32)


def outputs(net: NanoDetPlus, images: np.ndarray) -> np.ndarray:
    set_batch_norm_training(net, False)
    return net.predict(jt.array(images)).logits_NPL.numpy()


def trained_output(net: NanoDetPlus, images: np.ndarray) -> np.ndarray:
    """What training sees: the batch's own statistics."""
    return net.predict_both(jt.array(images))[0].logits_NPL.numpy()


def test_no_output_changes_in_inference(net: NanoDetPlus, images: np.ndarray) -> None:
    before = outputs(net, images)
    assert is_folded(net)
    net.unfold([images[:2], images[2:]])
    assert not is_folded(net.backbone)
    np.testing.assert_allclose(outputs(net, images), before, atol=1e-3 * np.abs(before).max())


def test_training_sees_the_same_outputs(net: NanoDetPlus, images: np.ndarray) -> None:
    """Folded norms give others; after unfolding on these very images, the same."""
    before = outputs(net, images)
    spread = before.std()
    assert np.abs(trained_output(net, images) - before).max() > spread
    fresh = NanoDetPlus(networks.small_nanodet_plus(), classes=3, auxiliary=True)
    for ours, theirs in zip(fresh.parameters(), net.parameters(), strict=True):
        ours.update(jt.array(theirs.numpy()))
    for norm in norms_below(fresh):
        norm.running_mean.update(jt.zeros_like(norm.running_mean).stop_grad())
        norm.running_var.update(jt.ones_like(norm.running_var).stop_grad())
    fresh.unfold([images])
    assert np.abs(trained_output(fresh, images) - before).max() < 1e-2 * spread


def test_the_auxiliary_neck_becomes_a_copy(net: NanoDetPlus, images: np.ndarray) -> None:
    net.unfold([images])
    for ours, others in zip(net.fpn.parameters(), net.aux_fpn.parameters(), strict=True):
        np.testing.assert_allclose(ours.numpy(), others.numpy(), rtol=1e-5, atol=1e-6)
