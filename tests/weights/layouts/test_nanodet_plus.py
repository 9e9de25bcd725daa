"""NanoDet-Plus' official names and shapes (reference/detectors/keys_nanodet_plus_*.txt)."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.nanodet_plus import M_1_5X, M
from unidet.weights.layouts.registry import open_weights
from unidet.weights.write import write_torch


@pytest.mark.parametrize(("layout", "model"), [(M, "m_416"), (M_1_5X, "m_1_5x_416")])
def test_the_official_names_in_their_order(layout: Layout, model: str, reference: Path) -> None:
    keys = reference / f"reference/detectors/keys_nanodet_plus_{model}.txt"
    rows = [row.split("\t") for row in keys.read_text().splitlines()]
    official = {row[0]: tuple(ast.literal_eval(row[1])) for row in rows}
    assert not layout.problems(official)
    assert list(layout.expected) == list(official)
    kept = {name: shape for name, shape in official.items() if not name.startswith("aux_")}
    assert not layout.problems(kept)


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("backbone.conv1.1.bias", "backbone.stem.norm.bias"),
        ("backbone.stage3.0.branch1.2.weight", "backbone.stage3.0.shortcut.1.conv.weight"),
        ("backbone.stage4.3.branch2.4.bias", "backbone.stage4.3.main.1.norm.bias"),
        ("fpn.reduce_layers.2.bn.weight", "fpn.reduce.2.norm.weight"),
        (
            "fpn.top_down_blocks.1.blocks.0.ghost2.cheap_operation.1.bias",
            "fpn.top_down.1.ghost2.cheap.norm.bias",
        ),
        (
            "aux_fpn.bottom_up_blocks.0.blocks.0.shortcut.1.weight",
            "aux_fpn.bottom_up.0.shortcut.0.norm.weight",
        ),
        ("fpn.extra_lvl_out_conv.0.pwnorm.bias", "fpn.extra_out.1.norm.bias"),
        ("head.cls_convs.3.1.depthwise.weight", "head.towers.3.1.0.conv.weight"),
        ("head.gfl_cls.3.bias", "head.predict.3.bias"),
        ("aux_head.reg_convs.3.gn.bias", "aux_head.side_tower.3.norm.bias"),
        ("aux_head.scales.0.scale", "aux_head.scales.0.scale"),
    ],
)
def test_our_names(official: str, ours: str) -> None:
    assert M.our_names[official] == ours


def test_the_ema_in_a_trainers_checkpoint(tmp_path: Path) -> None:
    """As `load_model_weight` takes it: the EMA, and what has none as it is."""
    shapes = {name: tuple(x or 1 for x in shape) for name, shape in M.expected.items()}
    arrays = {f"model.{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    arrays |= {
        f"avg_model.{name}": np.ones(shape, np.float32)
        for name, shape in shapes.items()
        if not name.startswith("aux_")
    }
    write_torch(tmp_path / "x.ckpt", arrays)
    opened = open_weights(tmp_path / "x.ckpt").arrays
    assert {name for name, array in opened.items() if array.any()} == {
        M.our_names[name] for name in shapes if name in M.our_names and "aux_" not in name
    }
