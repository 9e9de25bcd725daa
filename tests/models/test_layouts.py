"""Networks compute the same on blocked maps as on plain ones: results, gradients, statistics.

Only ReLUs at 0 differ, where rounding decides, so gradients are compared by their norms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jittor as jt
import networks
import numpy as np
import pytest
from jittor import nn
from numpy.testing import assert_allclose

from unidet.models.clip.crop_encoder import CropEncoder
from unidet.models.layers import set_batch_norm_training
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.models.rpn_head import RPNHead
from unidet.ops import onednn
from unidet.ops.blocked_maps import LANES, can_block, is_blocked, to_plain
from unidet.pipelines.proposers import cln, rpn
from unidet.pipelines.wiring.classifier import build_classifier

pytestmark = pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")

ROIS = np.array(
    [[0, 3, 5, 60, 50], [1, 10, -20, 40, 33], [1, 20, 30, 21, 31], [0, 0, 0, 90, 60]], np.float32
)
Outputs = Callable[[nn.Module, jt.Var], list[jt.Var]]


def _images(height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((2, 3, height, width)).astype(np.float32)


def _computed(
    network: nn.Module, outputs: Outputs, images: np.ndarray
) -> tuple[list[np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Outputs, gradients and statistics of the norms; the network is left as it was."""
    state = network.state_dict()
    before = {name: var.numpy() for name, var in state.items()}
    results = [to_plain(output) for output in outputs(network, jt.array(images))]
    rng = np.random.default_rng(5)
    weights = [rng.standard_normal(result.shape).astype(np.float32) for result in results]
    loss = sum((a * jt.array(b)).sum() for a, b in zip(results, weights, strict=True))
    learned = {name: var for name, var in network.named_parameters() if not var.is_stop_grad()}
    gradients = jt.grad(loss, list(learned.values()))
    named = {name: value.numpy() for name, value in zip(learned, gradients, strict=True)}
    values = [result.numpy() for result in results]
    statistics = {name: var.numpy() for name, var in state.items() if "running" in name}
    for name in statistics:
        state[name].update(jt.array(before[name]).stop_grad())
    jt.sync_all()
    return values, named, statistics


def _assert_same(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module, outputs: Outputs, images: np.ndarray
) -> None:
    networks.randomized(network)
    jt.sync_all()
    ours, gradients, statistics = _computed(network, outputs, images)
    with monkeypatch.context() as without_blocks:
        without_blocks.setattr(onednn, "has_avx512", lambda: False)
        theirs, expected_gradients, expected_statistics = _computed(network, outputs, images)
    for values, expected in zip(ours, theirs, strict=True):
        assert_allclose(values, expected, atol=1e-4 * np.abs(expected).max())
    largest = max(np.linalg.norm(gradient) for gradient in expected_gradients.values())
    for name, expected in expected_gradients.items():
        gap = np.linalg.norm(gradients[name] - expected)
        assert gap < 0.05 * max(np.linalg.norm(expected), 1e-4 * largest), name
    for name, expected in expected_statistics.items():
        assert_allclose(statistics[name], expected, atol=1e-4 * np.abs(expected).max())


def _small(style: str, frozen_stages: int) -> Any:
    return networks.resnet(style=style, width=32, blocks=(1, 1, 1, 1), frozen_stages=frozen_stages)


def _proposing(network: Any, images: jt.Var) -> list[jt.Var]:
    levels = network.pyramid(images)
    dense, regions = network.rpn_head(levels), network.box_head(levels, ROIS)
    return [dense.offsets_NA4, dense.logits_NA, *vars(regions).values()]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("kind", "style", "channels", "frozen"),
    [
        ("cln", "clip", 32, 0),
        ("cln", "torchvision", 32, 1),
        ("cln", "torchvision", 24, 2),
        ("rpn", "vd", 32, 2),
        ("rpn", "clip", 40, 1),
    ],
)
def test_localization(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    style: str,
    channels: int,
    frozen: int,
    training: bool,
) -> None:
    build, settings = {"cln": (cln.build, networks.cln), "rpn": (rpn.build, networks.rpn)}[kind]
    sizes = {"channels": channels, "hidden": 32, "pool_size": 3, "finest_scale": 16.0}
    configured: Any = settings(backbone=_small(style, frozen), **sizes)
    network = build(configured, classes=0, is_trained=True)
    network.backbone.set_batch_norm_training(training)
    assert is_blocked(network.backbone(jt.array(_images()))[0]) != (training and not frozen)
    _assert_same(monkeypatch, network, _proposing, _images())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("style", "pool", "frozen"),
    [("clip", "attention", 1), ("torchvision", "mean", 0), ("vd", "attention", 3)],
)
def test_regions(
    monkeypatch: pytest.MonkeyPatch, style: str, pool: Any, frozen: int, training: bool
) -> None:
    """With a proposal head on the same map, as end to end."""
    settings = networks.small_classifier(backbone=_small(style, frozen), pool=pool, heads=4)
    network = build_classifier(settings)
    channels = network.backbone.channels[-1]
    head = RPNHead(networks.small_rpn_head(channels=channels), (network.stride,))
    network.set_batch_norm_training(training)

    def outputs(both: Any, images: jt.Var) -> list[jt.Var]:
        regions, proposer = both
        feats = regions.features(images)
        dense = proposer([feats])
        return [dense.offsets_NA4, dense.logits_NA, *regions.heads(feats, ROIS)]

    _assert_same(monkeypatch, nn.Sequential(network, head), outputs, _images())


@pytest.mark.parametrize("training", [False, True])
def test_crops(monkeypatch: pytest.MonkeyPatch, training: bool) -> None:
    settings = networks.small_classifier(backbone=_small("clip", 0), pool="attention", heads=4)
    parts = build_classifier(settings)
    network = CropEncoder(
        parts.backbone, parts.shared_layer, parts.pool, roi_size=4, stride=parts.stride
    )
    set_batch_norm_training(network, training)
    _assert_same(monkeypatch, network, lambda encode, crops: [encode(crops)], _images(64, 64))


@pytest.mark.parametrize("size", [(64, 96), (70, 33)])
def test_recorded_kernels(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    settings = networks.small_nanodet_plus(backbone_channels=(8, 20, 44, 66))
    network = networks.randomized(NanoDetPlus(settings, classes=3, auxiliary=False))
    images, sizes = jt.array(_images(*size)), np.array([size] * 2)
    jt.sync_all()
    ours = network.propose(images, sizes)
    with monkeypatch.context() as without_blocks:
        without_blocks.setattr(onednn, "has_avx512", lambda: False)
        theirs = network.propose(images, sizes)
    for proposals, expected in zip(ours, theirs, strict=True):
        assert_allclose(proposals, expected, atol=1e-3)
