"""Files of models: what they find in an image is what `detect` finds; what has no file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest

from unidet.backend.runtime import bring_up
from unidet.config.compose import compose
from unidet.data.resize import resize_bilinear
from unidet.errors import UserError
from unidet.pipelines.detector.closed_set import ClosedSet
from unidet.pipelines.detector.model import Model, load
from unidet.pipelines.detector.onnx_file import GRAPHS

SIDE = 64
PICTURE = np.random.default_rng(1).integers(0, 256, (50, 80, 3), np.uint8)
OUTPUTS = ["cat", None, "dog"]
EVERYTHING = {"threshold": 0, "multi_label": True}


@pytest.fixture(scope="module")
def network() -> Any:
    bring_up()
    from unidet.models.nanodet_plus.detector import NanoDetPlus

    settings = networks.small_nanodet_plus()
    return networks.randomized(NanoDetPlus(settings, classes=len(OUTPUTS), auxiliary=False))


def model(network: Any, *overrides: str, outputs: Sequence[str | None] | int = OUTPUTS) -> Model:
    page = ["rpn=nanodet_plus_m_416", f"rpn.images.test_side={SIDE}", *overrides]
    return Model(ClosedSet(network, compose(page).rpn.images, outputs, 10))


def found(file: Path, picture: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes in pixels of the image, scores and labels."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    images = resize_bilinear(picture, side, side)[None]
    boxes, scores, labels = (rows[0] for rows in session.run(None, {"images": images}))
    kept = labels >= 0
    height, width, _ = picture.shape
    return boxes[kept] * np.array([width, height] * 2) / side, scores[kept], labels[kept]


@pytest.mark.parametrize("names", [None, ["dog"]])
def test_a_file_finds_what_the_model_finds(
    network: Any, names: list[str] | None, tmp_path: Path
) -> None:
    ours = model(network)
    expected = ours.detect(PICTURE, names, **EVERYTHING)
    assert ours.export_onnx(tmp_path / "m.onnx", names) == expected.names
    boxes, scores, labels = found(tmp_path / "m.onnx", PICTURE, SIDE)
    assert len(expected) > 5
    rows = np.isin(labels, range(len(expected.names)))  # what stands for nothing is left out
    assert rows.sum() >= len(expected)
    np.testing.assert_array_equal(labels[: len(expected)], expected.labels)
    np.testing.assert_allclose(scores[: len(expected)], expected.scores, atol=1e-4)
    np.testing.assert_allclose(boxes[: len(expected)], expected.boxes_xyxy, atol=0.02)


def test_what_a_file_says_of_itself(network: Any, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    model(network).export_onnx(file)
    written = onnx.load(file)
    texts = {entry.key: entry.value for entry in written.metadata_props}
    assert json.loads(texts["names"]) == ["cat", "dog"]
    resize = {"kind": "stretch", "interpolation": "opencv", "side": SIDE}
    assert json.loads(texts["resize"]) == resize
    assert [(opset.domain, opset.version) for opset in written.opset_import] == [("", 17)]
    (images,) = written.graph.input
    sides = [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim]
    assert sides == ["N", SIDE, SIDE, 3]
    assert all(value.doc_string for value in [*written.graph.input, *written.graph.output])


def test_what_has_no_file(network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.onnx"
    with pytest.raises(
        UserError, match="test_side: is 60; for a graph it must be a multiple of 32"
    ):
        model(network, "rpn.images.test_side=60").export_onnx(file)
    with pytest.raises(UserError, match="3 classes whose names are not known"):
        model(network, outputs=3).export_onnx(file)
    with pytest.raises(UserError, match="'bird' is none of the 2 names"):
        model(network).export_onnx(file, ["bird"])
    images = compose(["rpn=detr_r50"]).rpn.images
    with pytest.raises(UserError, match=r"images\.kind: is keep_ratio"):
        Model(ClosedSet(network, images, OUTPUTS, 10)).export_onnx(file)
    unknown: Any = object()
    with pytest.raises(
        UserError, match="no graph of object; there are graphs of NanoDetPlus, RTDETR"
    ):
        Model(ClosedSet(unknown, images, OUTPUTS, 10)).export_onnx(file)
    with pytest.raises(UserError, match=r"m\.txt: the name must end in \.onnx"):
        model(network).export_onnx(tmp_path / "m.txt")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        UserError, match=r"needs the package onnx; run: pip install 'unidet\[export"
    ):
        model(network).export_onnx(file)
    assert not file.exists()


def test_the_networks_with_graphs() -> None:
    bring_up()
    from unidet.export.closed_set import HEADS

    assert {kind.__name__ for kind in HEADS} == {*GRAPHS}


@pytest.mark.slow
def test_the_bench_s_checkpoint(reference: Path, tmp_path: Path) -> None:
    from PIL import Image

    ours = load(reference / "bench/weights/nanodet_plus_m_416.param")
    ours.export_onnx(tmp_path / "m.onnx")
    for photo in sorted((reference / "bench/coco/val2017").iterdir())[:8]:
        picture = np.asarray(Image.open(photo).convert("RGB"))
        expected = ours.detect(picture, **EVERYTHING)
        boxes, scores, labels = found(tmp_path / "m.onnx", picture, 416)
        np.testing.assert_array_equal(labels, expected.labels)
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(boxes, expected.boxes_xyxy, atol=0.02)
