"""DETR's official names and shapes (reference/detectors/keys_detr_r50.txt)."""

from __future__ import annotations

import ast
import pickle
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.weights.layouts import detr, registry
from unidet.weights.layouts.detr import R50, refuse_dilated
from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.registry import open_weights


def test_the_official_names_in_their_order(reference: Path) -> None:
    keys = reference / "reference/detectors/keys_detr_r50.txt"
    rows = [row.split("\t") for row in keys.read_text().splitlines()]
    official = {row[0]: tuple(ast.literal_eval(row[1])) for row in rows}
    assert not R50.problems(official)
    assert list(R50.expected) == list(official)


def test_our_names() -> None:
    assert R50.our_names["backbone.0.body.layer1.0.bn1.weight"] == "backbone.layer1.0.bn1.weight"
    assert R50.our_names["input_proj.bias"] == "input_proj.bias"


@pytest.mark.parametrize(
    ("name", "options", "is_refused"),
    [
        ("detr-r50-e632da11.pth", None, False),
        ("detr-r50-dc5-f0fb7ef5.pth", None, True),  # as it is released
        ("DETR_DC5.pth", None, True),
        ("checkpoint.pth", Namespace(dilation=False, lr=1e-4), False),
        ("checkpoint.pth", Namespace(dilation=True), True),  # as the official trainer saves
        ("checkpoint.pth", {"dilation": True}, True),
        ("checkpoint.pth", 5, False),
    ],
)
def test_dc5_is_told_by_its_options_or_its_file(
    name: str, options: object, is_refused: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"model": {}, "args": options}, 2))
    if not is_refused:
        refuse_dilated(path)
        return
    with pytest.raises(UserError, match="is DETR-DC5, whose weights have the names and shapes"):
        refuse_dilated(path)


def test_dc5_is_not_read_as_detr_r50(
    small: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LAYOUTS", (small,))
    monkeypatch.setattr(detr, "R50", small)
    arrays = {
        name: np.ones([3 if length is None else length for length in shape], np.float32)
        for name, shape in small.expected.items()
    }
    for name in ("r50.npz", "r50_dc5.npz"):
        np.savez(tmp_path / name, **arrays)
    assert open_weights(tmp_path / "r50.npz").layout is small
    with pytest.raises(UserError, match=r"r50_dc5.npz: is DETR-DC5, whose"):
        open_weights(tmp_path / "r50_dc5.npz")
