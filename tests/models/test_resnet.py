"""Shapes, names, freezing and batch-norm modes; values are checked against recordings elsewhere."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.config.networks import Block, Style
from unidet.models.resnet import ResNet, build_layer, mean_pool
from unidet.ops.batch_norm import BatchNorm2d


def _tiny(
    style: Style,
    block: Block = "bottleneck",
    outputs: tuple[int, ...] = (2, 3),
    **changes: object,
) -> ResNet:
    sizes = {"width": 4, "blocks": (1, 1, 2, 1)} | changes
    return ResNet(networks.resnet(style=style, block=block, **sizes), outputs)


def _images(seed: int, count: int = 2) -> jt.Var:
    return jt.array(np.random.default_rng(seed).normal(size=(count, 3, 32, 32)).astype(np.float32))


@pytest.mark.parametrize("style", ["torchvision", "vd", "clip"])
@pytest.mark.parametrize(("block", "channels"), [("bottleneck", (32, 64)), ("basic", (8, 16))])
def test_outputs_have_the_announced_shapes(
    style: Style, block: Block, channels: tuple[int, ...]
) -> None:
    network = _tiny(style, block)
    assert network.channels == channels
    assert network.strides_out == (8, 16)
    shapes = [tuple(feats.shape) for feats in network(_images(0))]
    assert shapes == [(2, channels[0], 4, 4), (2, channels[1], 2, 2)]


@pytest.mark.parametrize("style", ["torchvision", "clip"])
def test_stem_stride_two_leaves_out_the_pool(style: Style) -> None:
    network = _tiny(style, stem_stride=2, outputs=(1,), strides=(1, 2, 2, 2))
    assert network.strides_out == (2,)
    assert network(_images(0))[0].shape[2:] == [16, 16]


def test_layers_behind_the_last_output_are_not_built() -> None:
    names = set(_tiny("clip").state_dict())
    assert {"conv3.weight", "bn3.running_var", "layer2.0.downsample.1.bias"} <= names
    assert "layer3.1.conv3.weight" in names
    assert "layer3.1.downsample.0.weight" not in names
    assert not any(name.startswith("layer4") for name in names)


def test_variant_d_projects_in_every_layer_and_has_three_stem_convolutions() -> None:
    names = set(_tiny("vd", "basic").state_dict())
    assert {"conv3.weight", "layer1.0.downsample.0.weight", "layer3.0.downsample.1.bias"} <= names
    assert "layer3.1.downsample.0.weight" not in names
    assert "layer1.0.downsample.0.weight" not in _tiny("torchvision", "basic").state_dict()


def test_the_stem_alone_can_be_frozen() -> None:
    network = _tiny("vd")
    network.freeze_stem()
    frozen = {n for n, v in network.named_parameters() if v.is_stop_grad() and "running" not in n}
    assert frozen == {f"{kind}{i}.weight" for kind in ("conv", "bn") for i in (1, 2, 3)} | {
        f"bn{i}.bias" for i in (1, 2, 3)
    }


def test_a_layer_alone_is_the_networks_layer() -> None:
    network = _tiny("clip", outputs=(3, 4))
    layer = build_layer(networks.resnet(style="clip", width=4, blocks=(1, 1, 2, 1)), 4)
    source = network.layer4.state_dict()
    assert {name: var.shape for name, var in layer.state_dict().items()} == {
        name: var.shape for name, var in source.items()
    }
    for name, var in layer.state_dict().items():
        var.update(source[name])
    third, fourth = network(_images(1))
    np.testing.assert_allclose(layer(third).numpy(), fourth.numpy(), rtol=1e-5, atol=1e-5)


def test_freezing_stops_gradients_and_statistics_of_the_first_stages() -> None:
    network = _tiny("clip")
    network.freeze(1)
    network.set_batch_norm_training(True)
    frozen = {name for name, var in network.named_parameters() if var.is_stop_grad()}
    learning = {name for name, var in network.named_parameters() if not var.is_stop_grad()}
    assert all(name.startswith(("conv", "bn", "layer1")) or "running" in name for name in frozen)
    assert all(name.startswith(("layer2", "layer3")) for name in learning)
    before = {name: var.numpy().copy() for name, var in network.state_dict().items()}
    network(_images(2))[-1].sync()
    after = {name: var.numpy() for name, var in network.state_dict().items()}
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {
        name for name in before if "running" in name and name.startswith(("layer2", "layer3"))
    }


def test_batch_norm_on_running_statistics_still_learns() -> None:
    """The official setting; Module.eval() would stop these gradients."""
    network = _tiny("torchvision", outputs=(2,))
    network.set_batch_norm_training(False)
    norms = [child for child in network.modules() if isinstance(child, BatchNorm2d)]
    assert not any(norm.is_train for norm in norms)
    gradient = jt.grad((network(_images(3))[0] ** 2).sum(), network.layer2[0].bn3.weight)
    assert np.abs(gradient.numpy()).max() > 0


def test_mean_pool_drops_an_odd_remainder() -> None:
    feats = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)
    # Windows of rows 0-1, 2-3 and columns 0-1, 2-3; the first is (0 + 1 + 5 + 6) / 4.
    assert mean_pool(jt.array(feats), 2).numpy().tolist() == [[[[3, 5], [13, 15]]]]
    assert mean_pool(jt.array(feats[:, :, :2, :2]), 2).numpy().tolist() == [[[[3]]]]
