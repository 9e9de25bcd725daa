"""DETR's official names and shapes (reference/detectors/keys_detr_r50.txt)."""

from __future__ import annotations

import ast
from pathlib import Path

from unidet.weights.layouts.detr import R50


def test_the_official_names_in_their_order(reference: Path) -> None:
    keys = reference / "reference/detectors/keys_detr_r50.txt"
    rows = [row.split("\t") for row in keys.read_text().splitlines()]
    official = {row[0]: tuple(ast.literal_eval(row[1])) for row in rows}
    assert not R50.problems(official)
    assert list(R50.expected) == list(official)


def test_our_names() -> None:
    assert R50.our_names["backbone.0.body.layer1.0.bn1.weight"] == "backbone.layer1.0.bn1.weight"
    assert R50.our_names["input_proj.bias"] == "input_proj.bias"
