"""Checkpoints that a network starts from: whole ones, backbones, other names, none of these."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networks
import numpy as np
import pytest

from unidet.backend.runtime import bring_up
from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.wiring.starting_weights import (
    keep_weights,
    load_starting_weights,
    starting_file,
)
from unidet.weights.class_names import read_class_names
from unidet.weights.layouts import registry
from unidet.weights.layouts.layer_shapes import Shapes, linear
from unidet.weights.layouts.layout import Layout
from unidet.weights.write import write_safetensors, write_torch


def build() -> Any:
    """A backbone, the last layer for regions, a pool, and a head that no backbone file has."""
    bring_up("cpu")
    from jittor import nn

    network = nn.Module()
    network.backbone = nn.Sequential(nn.Linear(2, 2))
    network.shared_layer = nn.Linear(2, 3)
    network.pool = nn.Linear(3, 1)
    network.box_regressor = nn.Linear(1, 4)
    return network


def region_shapes() -> Shapes:
    return {
        **linear("visual.0", 2, 2),
        **linear("visual.layer4", 3, 2),
        **linear("visual.attnpool", 1, 3),
    }


def layout(name: str, network: str, shapes: Shapes, *renames: tuple[str, str]) -> Layout:
    return Layout(name, network, name, lambda: shapes, renames=renames)


IMAGE = (r"^visual\.attnpool\.", "image.attnpool."), (r"^visual\.", "image.backbone.")
REGION = (
    (r"^body\.layer4\.", "shared_layer."),
    (r"^body\.attnpool\.", "pool."),
    (r"^body\.", "backbone."),
)
LAYOUTS = (
    layout("imagenet", "resnet1", linear("0", 2, 2)),
    layout("clip", "clip_small", region_shapes(), *IMAGE),
    layout(
        "regions",
        "regionclip_small",
        {name.replace("visual.", "body."): shape for name, shape in region_shapes().items()},
        *REGION,
    ),
)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(registry, "LAYOUTS", LAYOUTS)
    return build()


def values(shapes: Shapes, first: float) -> dict[str, np.ndarray]:
    """Every array is one number, the next for the next name."""
    return {
        name: np.full(shape, first + place, np.float32)
        for place, (name, shape) in enumerate(shapes.items())
    }


def numbers(network: Any) -> dict[str, float]:
    from unidet.weights.load import state_of

    return {name: float(array.ravel()[0]) for name, array in state_of(network).items()}


def test_weights_of_our_own_need_no_layout(network: Any, tmp_path: Path) -> None:
    arrays = {name: np.ones(var.shape, np.float32) for name, var in network.named_parameters()}
    extra = {"kept/x": np.zeros(1), "vocabulary.0": np.zeros((2, 2))}
    write_safetensors(tmp_path / "x.safetensors", arrays | extra)
    load_starting_weights(network, tmp_path / "x.safetensors", is_trained_further=False)
    assert set(numbers(network).values()) == {1}


@pytest.mark.parametrize("prefix", ["visual.", "body."])
def test_the_image_side_of_clip_by_either_name(prefix: str, network: Any, tmp_path: Path) -> None:
    arrays = values(region_shapes(), 10)
    official = {name.replace("visual.", prefix): array for name, array in arrays.items()}
    write_torch(tmp_path / "x.pth", official)
    before = numbers(network)
    load_starting_weights(network, tmp_path / "x.pth", is_trained_further=True)
    assert numbers(network) == before | {
        "backbone.0.weight": 10,
        "backbone.0.bias": 11,
        "shared_layer.weight": 12,
        "shared_layer.bias": 13,
        "pool.weight": 14,
        "pool.bias": 15,
    }


def test_the_image_side_goes_where_an_end_to_end_network_has_it(
    network: Any, tmp_path: Path
) -> None:
    from jittor import nn

    whole = nn.Module()
    whole.regions, whole.rpn_head = network, nn.Linear(2, 2)
    write_torch(tmp_path / "x.pth", values(region_shapes(), 10))
    before = numbers(whole)
    load_starting_weights(whole, tmp_path / "x.pth", is_trained_further=True)
    changed = {name for name, value in numbers(whole).items() if value != before[name]}
    parts = ("backbone.0", "shared_layer", "pool")
    assert changed == {f"regions.{part}.{kind}" for part in parts for kind in ("weight", "bias")}


def test_an_imagenet_classifier_fills_the_backbone_alone(network: Any, tmp_path: Path) -> None:
    del network.shared_layer, network.pool
    write_torch(tmp_path / "x.pth", values(linear("0", 2, 2), 5))
    before = numbers(network)
    load_starting_weights(network, tmp_path / "x.pth", is_trained_further=True)
    assert numbers(network) == before | {"backbone.0.weight": 5, "backbone.0.bias": 6}


def test_a_backbone_is_no_trained_network(network: Any, tmp_path: Path) -> None:
    write_torch(tmp_path / "x.pth", values(region_shapes(), 1))
    with pytest.raises(UserError, match=r"x\.pth: holds a backbone, not the whole network"):
        load_starting_weights(network, tmp_path / "x.pth", is_trained_further=False)


def test_a_backbone_must_be_complete(network: Any, tmp_path: Path) -> None:
    write_torch(tmp_path / "x.pth", values(linear("0", 2, 2), 1))
    before = numbers(network)
    with pytest.raises(UserError, match=r"x\.pth: .*4 missing \(shared_layer\.weight"):
        load_starting_weights(network, tmp_path / "x.pth", is_trained_further=True)
    assert numbers(network) == before


def test_names_of_nothing_known(network: Any, tmp_path: Path) -> None:
    write_torch(tmp_path / "x.pth", {"weight": np.zeros((1, 2), np.float32)})
    with pytest.raises(
        UserError, match=r"x\.pth: fits no layout, and most of its names are of none"
    ):
        load_starting_weights(network, tmp_path / "x.pth", is_trained_further=True)


def test_weights_that_are_kept_carry_the_names_of_their_outputs(
    network: Any, tmp_path: Path
) -> None:
    config = compose(["rpn.training=null", "rpn.weights=x.pth"])
    job: Any = SimpleNamespace(config=config, out=tmp_path)
    keep_weights(job, network, "rpn", ("cat", None))
    assert read_class_names(tmp_path / "model.safetensors") == ("cat", None)


def test_files_for_the_key(tmp_path: Path) -> None:
    assert starting_file("roi.weights", str(tmp_path), "") == {}
    with pytest.raises(UserError, match=r"roi\.weights: .*absent\.pth is not there; .*data\.root"):
        starting_file("roi.weights", str(tmp_path), "absent.pth")
    (tmp_path / "x.pth").touch()
    files = starting_file("roi.weights", str(tmp_path), "x.pth")
    assert files == {"weights": tmp_path / "x.pth"}


def test_nanodet_plus_starts_from_torchvisions_shufflenet(tmp_path: Path) -> None:
    bring_up("cpu")
    from unidet.models.nanodet_plus.detector import NanoDetPlus

    layout = registry.layout_named("torchvision_shufflenet_v2_x1_0")
    shapes = {
        name: tuple(1000 if length is None else length for length in shape)
        for name, shape in layout.expected.items()
    }
    write_torch(tmp_path / "shufflenet.pth", values(shapes, 1))
    network = NanoDetPlus(networks.nanodet_plus(), classes=3, auxiliary=True)
    before = numbers(network)
    load_starting_weights(network, tmp_path / "shufflenet.pth", is_trained_further=True)
    after = numbers(network)
    assert {name: after[name] for name in after if not name.startswith("backbone.")} == {
        name: before[name] for name in before if not name.startswith("backbone.")
    }
    order = list(shapes)
    assert after["backbone.stem.conv.weight"] == 1
    last = "backbone.stage4.3.main.2.norm.running_var"
    assert after[last] == 1 + order.index("stage4.3.branch2.6.running_var")
