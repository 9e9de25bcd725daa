"""Checkpoints that a network starts from: whole ones, backbones, other names, none of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest

from unidet.backend.runtime import bring_up
from unidet.errors import UserError
from unidet.pipelines.wiring.any_checkpoint import with_own_classes
from unidet.pipelines.wiring.starting_weights import load_starting_weights, starting_file
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


def test_outputs_for_other_classes_start_as_built_and_the_rest_is_taken() -> None:
    """Two classes and two rows for sides, from a network of three classes."""
    own = {"body": np.zeros((2, 2)), "out": np.zeros((4, 2)), "out.bias": np.zeros(4)}
    rows = np.arange(1.0, 6.0)
    arrays = {"body": np.ones((2, 2)), "out": np.stack([rows, rows], axis=1), "out.bias": rows}
    changed = with_own_classes(arrays, own, 2)
    assert changed["out.bias"].tolist() == [0, 0, 4, 5]
    assert changed["out"][:, 1].tolist() == [0, 0, 4, 5]
    assert changed["body"] is arrays["body"]
    back = with_own_classes(own, arrays, 3)
    assert back["out.bias"].tolist() == [1, 2, 3, 0, 0]


@pytest.mark.parametrize(
    "own", [{"a": (3, 2), "b": (4,)}, {"a": (3, 3), "b": (3,)}, {"a": (2, 2), "b": (2,)}]
)
def test_a_network_of_other_sizes_is_not_one_for_other_classes(own: dict[str, Any]) -> None:
    arrays = {"a": np.ones((2, 2)), "b": np.ones(2)}
    unchanged = with_own_classes(arrays, {n: np.zeros(s) for n, s in own.items()}, 1)
    assert unchanged == arrays
