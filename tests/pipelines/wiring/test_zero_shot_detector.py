"""`unidet detect` without its networks: order, memory, and what is written."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unidet.cli import compose
from unidet.errors import UserError
from unidet.pipelines.wiring import zero_shot_detector as module
from unidet.records import Detections


def whole_picture(pixels: np.ndarray) -> Detections:
    """Two boxes of the second name: the picture with score 0.75, a corner of it with 0.25."""
    height, width, _ = pixels.shape
    return Detections(
        image_ids=np.zeros(2, np.int64),
        category_ids=np.ones(2, np.int64),
        boxes_xywh=np.array([[0, 0, width, height], [0, 0, 1, 1]], np.float64),
        scores=np.array([0.75, 0.25]),
    )


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of every detector that was opened; it finds the whole picture."""
    calls: list[list[str]] = []

    def open_detector(config: object, names: list[str]) -> object:
        calls.append(names)
        return whole_picture

    monkeypatch.setattr(module, "_open", open_detector)
    return calls


def detect(images: list[Path], out: Path) -> None:
    module.detect_files(compose([]), [*map(str, images)], "cat, dog", str(out), 0.5)


def grey(path: Path, width: int, height: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (width, height), "grey").save(path)
    return path


@pytest.mark.usefixtures("opened")
def test_pictures_of_one_name_are_all_drawn(tmp_path: Path) -> None:
    images = [grey(tmp_path / "a" / "x.png", 400, 500), grey(tmp_path / "b" / "x.png", 600, 700)]
    detect(images, tmp_path / "out")
    for folder, size in {"a": (400, 500), "b": (600, 700)}.items():
        with Image.open(tmp_path / "out" / folder / "x.png") as drawn:
            assert drawn.size == size
    assert json.loads((tmp_path / "out" / "detections.json").read_text()) == [
        {"image": str(images[0]), "category": "dog", "bbox": [0, 0, 400, 500], "score": 0.75},
        {"image": str(images[1]), "category": "dog", "bbox": [0, 0, 600, 700], "score": 0.75},
    ]


@pytest.mark.usefixtures("opened")
def test_memory_holds_one_picture(tmp_path: Path) -> None:
    """Of six pictures of 3 MB each, the arrays of less than three are alive at once."""
    images = [grey(tmp_path / f"{number}.png", 1000, 1000) for number in range(6)]
    detect(images[:1], tmp_path / "warm")
    tracemalloc.start()
    try:
        detect(images, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 9e6
    finally:
        tracemalloc.stop()


def test_a_damaged_picture_is_told_before_the_networks_are_opened(
    tmp_path: Path, opened: list[list[str]]
) -> None:
    images = [grey(tmp_path / f"{number}.png", 100, 100) for number in range(3)]
    images[2].write_bytes(images[2].read_bytes()[:-40])
    with pytest.raises(UserError, match=r"2\.png: the file is"):
        detect(images, tmp_path / "out")
    assert opened == []
    assert not (tmp_path / "out").exists()


def test_a_picture_of_one_s_own_is_not_replaced(tmp_path: Path, opened: list[list[str]]) -> None:
    image = grey(tmp_path / "photo.png", 100, 100)
    before = image.read_bytes()
    with pytest.raises(UserError, match=r"photo\.png would replace a picture"):
        detect([image], tmp_path)
    assert image.read_bytes() == before
    assert opened == []


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("size", [(1, 60_000), (20_000, 30)])
def test_a_strip_is_drawn_at_its_size(size: tuple[int, int], tmp_path: Path) -> None:
    detect([grey(tmp_path / "strip.png", *size)], tmp_path / "out")
    with Image.open(tmp_path / "out" / "strip.png") as drawn:
        assert drawn.size == size
