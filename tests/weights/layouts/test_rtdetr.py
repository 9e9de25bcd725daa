"""RT-DETR's official names and shapes (reference/detectors/keys_rtdetr_*.txt)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.rtdetr import BACKBONES, LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_official_names_in_their_order(layout: Layout, reference: Path) -> None:
    keys = reference / f"reference/detectors/keys_{layout.name}.txt"
    rows = [row.split("\t") for row in keys.read_text().splitlines()]
    official = {row[0]: tuple(ast.literal_eval(row[1])) for row in rows}
    assert not layout.problems(official)
    assert list(layout.expected) == list(official)


@pytest.mark.parametrize(("backbone", "whole"), list(zip(BACKBONES, LAYOUTS, strict=True)))
def test_a_backbone_alone_has_the_names_without_their_prefix(
    backbone: Layout, whole: Layout
) -> None:
    inside = {
        official.removeprefix("backbone."): ours.removeprefix("backbone.")
        for official, ours in whole.our_names.items()
        if official.startswith("backbone.")
    }
    assert backbone.our_names == inside
    assert {name: backbone.expected[name] for name in inside} == {
        name: whole.expected[f"backbone.{name}"] for name in inside
    }


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("backbone.conv1.conv1_2.conv.weight", "backbone.conv2.weight"),
        ("backbone.conv1.conv1_3.norm.bias", "backbone.bn3.bias"),
        (
            "backbone.res_layers.0.blocks.0.short.conv.weight",
            "backbone.layer1.0.downsample.0.weight",
        ),
        (
            "backbone.res_layers.3.blocks.0.short.conv.norm.running_var",
            "backbone.layer4.0.downsample.1.running_var",
        ),
        ("backbone.res_layers.2.blocks.1.branch2b.conv.weight", "backbone.layer3.1.conv2.weight"),
        ("backbone.res_layers.2.blocks.1.branch2a.norm.bias", "backbone.layer3.1.bn1.bias"),
        ("encoder.input_proj.0.1.weight", "encoder.input_proj.0.1.weight"),
    ],
)
def test_our_names(official: str, ours: str) -> None:
    assert LAYOUTS[0].our_names[official] == ours
