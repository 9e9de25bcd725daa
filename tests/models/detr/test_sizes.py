"""Counts of parameters (reference/detectors/param_counts.txt) and shapes at 640 x 640."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import jittor as jt
import numpy as np
import pytest

from unidet.models.detr.network import DETR
from unidet.ops.blocked_maps import to_plain

STATISTICS = ("running_mean", "running_var")


def test_every_column_of_the_counts(detr: DETR, reference: Path) -> None:
    text = (reference / "reference/detectors/param_counts.txt").read_text()
    recorded = json.loads(dict(row.split(" ", 1) for row in text.splitlines())["detr_r50"])
    variables = dict(detr.named_parameters())
    learned = sum(var.numel() for var in variables.values() if not var.is_stop_grad())
    assert learned == recorded["trainable"] == 41_302_368
    total = sum(var.numel() for var in variables.values())
    assert total == recorded["state_dict_total"] == 41_631_008
    statistics = sum(var.numel() for name, var in variables.items() if name.endswith(STATISTICS))
    assert statistics == recorded["running_mean_var"]
    norms = [name for name in variables if ".bn" in name or ".downsample.1" in name]
    affine = sum(variables[name].numel() for name in norms if not name.endswith(STATISTICS))
    assert affine == recorded["frozenbn_affine_buffers"]
    assert total - affine - statistics == recorded["params_all"]


@pytest.mark.slow
def test_shapes_at_640(detr: DETR, reference: Path) -> None:
    path = reference / "reference/detectors/shapes640_detr_r50.txt"
    rows = [row.split("\t") for row in path.read_text().splitlines()]
    recorded = {name: ast.literal_eval(shape) for name, shape in rows}
    with jt.no_grad():
        images = jt.zeros((1, 3, 640, 640))
        predictions = detr.predictions(images, np.array([[640, 640]]))
        layer4 = to_plain(detr.backbone(images)[-1])
        projected = detr.input_proj(layer4)
    assert list(layer4.shape) == recorded["layer4"]
    assert list(projected.shape) == recorded["input_proj"] == recorded["pos"]
    assert len(predictions) == recorded["hs (layers,batch,query,dim)"][0]
    assert list(predictions[-1].logits.shape) == recorded["pred_logits"]
    assert list(predictions[-1].boxes.shape) == recorded["pred_boxes"]
