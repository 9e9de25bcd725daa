"""Counts of parameters (reference/detectors/param_counts.txt) and shapes at 640 x 640."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import jittor as jt
import networks
import pytest

from unidet.models.rtdetr.network import RTDETR, VARIANTS
from unidet.ops.blocked_maps import to_plain

STATISTICS = ("running_mean", "running_var")


@pytest.mark.parametrize(
    ("variant", "trainable", "with_statistics"),
    [
        ("r18vd", 20_184_464, 20_209_680),
        ("r34vd", 31_441_668, 31_474_308),
        ("r50vd", 42_862_860, 43_019_372),
        ("r101vd", 76_527_756, 76_798_700),
    ],
)
def test_every_column_of_the_counts(
    variant: str, trainable: int, with_statistics: int, reference: Path
) -> None:
    text = (reference / "reference/detectors/param_counts.txt").read_text()
    rows = dict(row.split(" ", 1) for row in text.splitlines())
    recorded = json.loads(rows[variant])
    network = RTDETR(networks.rtdetr(variant), classes=80)
    variables = dict(network.named_parameters())
    learned = {name: var for name, var in variables.items() if not var.is_stop_grad()}
    statistics = {name for name in variables if name.endswith(STATISTICS)}

    def count(names: object) -> int:
        return sum(variables[name].numel() for name in names)

    assert count(learned) == trainable == recorded["trainable"]
    assert count(variables) == with_statistics
    assert count(statistics) == recorded["running_mean_var"]
    norms = {name for name in variables if ".bn" in name or ".downsample.1" in name}
    frozen_norms = {name for name in norms - statistics if name not in learned}
    assert count(frozen_norms) == recorded["frozenbn_affine_buffers"]
    convolutions = set(variables) - set(learned) - statistics - frozen_norms
    assert count(learned) + count(convolutions) == recorded["params_all"]
    for part in ("backbone", "encoder", "decoder"):
        inside = [name for name in learned if name.startswith(f"{part}.")]
        assert count(inside) == recorded[f"{part}_trainable"]
    assert set(VARIANTS) == {"r18vd", "r34vd", "r50vd", "r101vd"}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["r18vd", "r50vd"])
def test_shapes_at_640(variant: str, reference: Path) -> None:
    path = reference / f"reference/detectors/shapes640_rtdetr_{variant}.txt"
    rows = [row.split("\t") for row in path.read_text().splitlines()]
    recorded = {name: ast.literal_eval(shape) for name, shape in rows}
    network = RTDETR(networks.rtdetr(variant), classes=80)
    network.set_training(False)
    with jt.no_grad():
        feats = [to_plain(level) for level in network.backbone(jt.zeros((1, 3, 640, 640)))]
        maps = network.encoder(feats)
        memory, sizes = network.decoder.memory(maps)
        prediction = network.decoder.decode(memory, sizes, network.decoder.select(memory, sizes))[
            -1
        ]
    outputs = dict(zip(("c3", "c4", "c5", "s8", "s16", "s32"), [*feats, *maps], strict=True))
    outputs |= {"pred_logits": prediction.logits, "pred_boxes": prediction.boxes}
    outputs["anchors"] = memory[:, :, :4]
    assert {name: list(var.shape) for name, var in outputs.items()} == recorded
