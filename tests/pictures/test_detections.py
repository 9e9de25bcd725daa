"""Detections as tables and images."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unidet.errors import UserError
from unidet.pictures.detections import Detections


def made(source: Path | np.ndarray | None = None) -> Detections:
    """A dog, then a cat, in 100x80 pixels."""
    return Detections(
        np.array([[10, 20, 50, 60], [0.5, 0.25, 99.5, 79]], np.float32),
        np.array([0.75, 0.5], np.float32),
        np.array([1, 0]),
        ("cat", "dog"),
        (80, 100),
        source,
    )


def none() -> Detections:
    return made().take(np.zeros(2, bool))


def test_repr_says_what_is_there() -> None:
    assert repr(made()) == "Detections(2 boxes in 100x80 pixels: dog 0.75, cat 0.50)"
    assert repr(none()) == "Detections(0 boxes in 100x80 pixels)"
    many = made().take(np.array([0, 1, 0, 1]))
    assert repr(many).endswith("4 boxes in 100x80 pixels: dog 0.75, cat 0.50, dog 0.75, …)")


def test_to_coco() -> None:
    assert made().to_coco(7) == [
        {"image_id": 7, "category_id": 2, "bbox": [10, 20, 40, 40], "score": 0.75},
        {"image_id": 7, "category_id": 1, "bbox": [0.5, 0.25, 99, 78.75], "score": 0.5},
    ]
    assert [record["category_id"] for record in made().to_coco(7, np.array([17, 18]))] == [18, 17]
    assert none().to_coco() == []


@pytest.mark.parametrize("ids", [[17], [17, 18, 19], {"cat": 17, "dog": 18}, 17])
def test_to_coco_takes_an_id_for_each_name(ids: Any) -> None:
    with pytest.raises(UserError, match="an id for each of the 2 names, in their order, got"):
        made().to_coco(7, ids)


@pytest.mark.parametrize(
    ("rows", "scores"),
    [(1, [0.5]), ([1, 0], [0.5, 0.75]), (np.array([True, False]), [0.75]), (np.zeros(0, int), [])],
)
def test_take(rows: Any, scores: list[float]) -> None:
    taken = made().take(rows)
    assert taken.scores.tolist() == scores
    assert taken.boxes_xyxy.shape == (len(scores), 4)


def test_to_pandas() -> None:
    table = made().to_pandas()
    assert [*table.columns] == ["name", "score", "x1", "y1", "x2", "y2", "label"]
    assert table.iloc[0].tolist() == ["dog", 0.75, 10, 20, 50, 60, 1]
    assert len(none().to_pandas()) == 0


def test_to_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="to_supervision needs: pip install supervision"):
        made().to_supervision()
    package = types.SimpleNamespace(Detections=lambda **columns: columns)
    monkeypatch.setitem(sys.modules, "supervision", package)
    columns = made().to_supervision()
    assert columns["class_id"].tolist() == [1, 0]
    assert columns["data"]["class_name"].tolist() == ["dog", "cat"]


def test_in_a_picture_of_another_size() -> None:
    assert made().resized((80, 100)).boxes_xyxy.tolist() == made().boxes_xyxy.tolist()
    half = made().resized((40, 200))
    assert half.boxes_xyxy[0].tolist() == [20, 10, 100, 30]
    assert half.size_hw == (40, 200)


def test_the_picture_is_read_when_it_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    detections = made(path)
    Image.new("RGB", (100, 80), (9, 9, 9)).save(path)
    drawn = detections.draw()
    assert drawn.size == (100, 80)
    assert drawn.getpixel((30, 40)) == (9, 9, 9)
    assert drawn.getpixel((10, 40)) != (9, 9, 9)
    path.unlink()
    with pytest.raises(UserError, match="cannot be opened"):
        detections.draw()


def test_a_picture_may_be_given() -> None:
    pixels = np.full((160, 200, 3), 9, np.uint8)
    with pytest.raises(UserError, match="are not of a file"):
        made().draw()
    drawn = np.asarray(made().draw(pixels))
    assert drawn.shape == pixels.shape
    assert drawn[80, 20].tolist() != [9, 9, 9], "the boxes are twice as large"
    assert (pixels == 9).all()


def test_crops() -> None:
    pixels = np.arange(80 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(80, 100, 3)
    first, second = made(pixels).crops()
    assert np.array_equal(first, pixels[20:60, 10:50])
    assert np.array_equal(second, pixels[0:79, 0:100])
    assert none().crops(pixels) == []


def test_a_crop_has_at_least_one_pixel() -> None:
    boxes = np.array([[5, 5, 5, 5], [-9, -9, -1, -1], [200, 200, 300, 300]], np.float32)
    scores, labels = np.ones(3, np.float32), np.zeros(3, np.int64)
    crops = Detections(boxes, scores, labels, ("cat",), (80, 100)).crops(np.zeros((80, 100, 3)))
    assert [crop.shape for crop in crops] == [(1, 1, 3)] * 3


def test_a_notebook_shows_the_picture() -> None:
    assert made()._repr_png_() is None
    shown = made(np.zeros((80, 100, 3), np.uint8))._repr_png_()
    assert shown is not None
    assert Image.open(io.BytesIO(shown)).size == (100, 80)
    large = made(np.zeros((1600, 2000, 3), np.uint8))._repr_png_()
    assert large is not None
    width, height = Image.open(io.BytesIO(large)).size
    assert 950_000 < width * height <= 1_000_000
