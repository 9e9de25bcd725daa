"""A model's images: their order, batches, what is read ahead; and how they are given."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unidet.backend import runtime
from unidet.errors import UserError
from unidet.pictures.detections import Detections
from unidet.pipelines.detector import from_study, from_weights
from unidet.pipelines.detector.model import Model, load
from unidet.pipelines.detector.network import DetectBatch, Prepared, Shape
from unidet.pipelines.detector.options import Options
from unidet.pipelines.detector.windows import BATCH_IMAGES, BATCH_PIXELS
from unidet.vocabularies.vocabulary import Vocabulary

Size = tuple[int, int]


class WholePicture:
    """A network that finds every image whole, and remembers the batches it saw."""

    names = ("picture",)
    asks = ""

    def __init__(self) -> None:
        self.batches: list[list[Size]] = []

    def shape(self, height: int, width: int) -> Shape:
        return ((-(-height // 32) * 32, -(-width // 32) * 32),)

    def prepare(self, pixels: np.ndarray) -> Prepared:
        return Prepared(pixels.shape[:2], ())

    def detector(self, vocabulary: Vocabulary | None, options: Options) -> DetectBatch:
        names = vocabulary.names if vocabulary else self.names
        if "unicorn" in names:
            raise UserError("unicorn: there is none")

        def detect(batch: Sequence[Prepared]) -> list[Detections]:
            self.batches.append([picture.size_hw for picture in batch])
            return [whole(picture.size_hw, names) for picture in batch]

        return detect

    def proposals(self, pixels: np.ndarray) -> np.ndarray:
        return np.array([[0, 0, *pixels.shape[1::-1], 1]], np.float32)

    def embed(self, pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
        return boxes_xyxy

    def embed_text(self, vocabulary: Vocabulary) -> np.ndarray:
        return np.zeros((len(vocabulary), 4), np.float32)


def whole(size: Size, names: tuple[str, ...]) -> Detections:
    box = np.array([[0, 0, size[1], size[0]]], np.float32)
    return Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), names, size)


def picture(height: int, width: int = 10) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


@pytest.fixture
def network() -> WholePicture:
    return WholePicture()


@pytest.fixture
def model(network: WholePicture) -> Model:
    return Model(network)


def test_detections_come_in_order_though_shapes_go_together(
    model: Model, network: WholePicture
) -> None:
    heights = [1, 40, 2, 41, 3, 42]
    detections = list(model.stream(map(picture, heights)))
    assert [detections.size_hw[0] for detections in detections] == heights
    assert network.batches == [[(1, 10), (2, 10), (3, 10)], [(40, 10), (41, 10), (42, 10)]]


def test_a_batch_is_so_many_pictures_or_pixels(model: Model, network: WholePicture) -> None:
    list(model.stream(picture(10) for _ in range(2 * BATCH_IMAGES + 1)))
    assert [len(batch) for batch in network.batches] == [BATCH_IMAGES, BATCH_IMAGES, 1]
    network.batches.clear()
    side = int(BATCH_PIXELS**0.5)  # padded it is more than a batch
    list(model.stream([picture(10), picture(side, side), picture(side, side)]))
    assert [len(batch) for batch in network.batches] == [1, 1, 1]


def test_at_most_one_batch_is_read_ahead(model: Model) -> None:
    read = []

    def images() -> Iterator[np.ndarray]:
        for number in range(100):
            read.append(number)
            yield picture(10)

    stream = model.stream(images())
    assert read == []
    next(stream)
    assert len(read) == 2 * BATCH_IMAGES
    for _ in range(BATCH_IMAGES):
        next(stream)
    assert len(read) == 3 * BATCH_IMAGES
    stream.close()  # type: ignore[attr-defined]


def test_memory_holds_two_batches(model: Model) -> None:
    """The one that the network has, and the one that is read ahead; not all twenty."""
    tracemalloc.start()
    try:
        for _ in model.stream(picture(416, 416) for _ in range(20 * BATCH_IMAGES)):
            pass
        assert tracemalloc.get_traced_memory()[1] < 2.5 * BATCH_IMAGES * picture(416, 416).nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("one", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), "a.jpg", None])
def test_what_is_no_picture_is_named(model: Model, one: Any) -> None:
    stream = model.stream([picture(10), one])
    with pytest.raises(UserError, match=r"image 1: is .*, must be \(height, width, 3\) uint8"):
        list(stream)


@pytest.mark.parametrize("one", [None, 5, np.array(None), np.array(["a.jpg"]), picture(4) / 255])
def test_what_is_no_picture_is_named_by_every_method(model: Model, one: Any) -> None:
    """`None` is what OpenCV reads where there is no file; floats would be taken for black."""
    for look in (model.detect, model.proposals, model.embed):
        with pytest.raises(UserError, match=r"is .*, must be \(height, width, 3\) uint8 RGB"):
            look(one)


def test_a_picture_that_pillow_cannot_decode_is_named(model: Model, tmp_path: Path) -> None:
    """Pillow opens a file by its header alone."""
    path = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(0).integers(255, size=(9, 9, 3), dtype=np.uint8)).save(
        path
    )
    path.write_bytes(path.read_bytes()[:150])
    with Image.open(path) as image:
        for given in (image, [picture(4), image]):
            with pytest.raises(UserError, match=r"x\.png: the file is truncated; open it again"):
                model.detect(given)


def test_bad_names_and_options_are_told_before_a_picture_is_read(model: Model) -> None:
    with pytest.raises(UserError, match="unicorn"):
        model.stream([picture(10)], ["unicorn"])
    with pytest.raises(UserError, match="threshold"):
        model.detect(picture(10), threshold=2)


def test_a_picture_is_an_array_a_file_or_pillows(model: Model, tmp_path: Path) -> None:
    grey = Image.new("L", (7, 5))
    grey.save(tmp_path / "x.png")
    for given in (grey, tmp_path / "x.png", str(tmp_path / "x.png"), picture(5, 7)):
        detections = model.detect(given, "cat, dog")
        assert isinstance(detections, Detections)
        assert detections.size_hw == (5, 7)
        assert detections.names == ("cat", "dog")


def test_detections_know_their_picture(model: Model, tmp_path: Path) -> None:
    path, pixels = tmp_path / "x.png", picture(5, 7)
    Image.fromarray(pixels).save(path)
    assert model.detect(path).source == path
    assert model.detect(pixels).source is pixels
    first, second = model.detect([str(path), pixels])
    assert first.source == path
    assert second.draw().size == (7, 5)


def test_a_large_file_is_detected_in_its_own_frame(
    model: Model, network: WholePicture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40x30 in at most 300 pixels: a half of each side; boxes count the image's own."""
    path = tmp_path / "x.jpg"
    Image.new("RGB", (40, 30)).save(path)
    for name in ("NETWORK_PIXELS", "WHOLE_PIXELS"):
        monkeypatch.setattr(f"unidet.pipelines.detector.model.{name}", 300)
    found = model.detect(path)
    assert network.batches == [[(15, 20)]]
    assert found.size_hw == (30, 40)
    assert found.boxes_xyxy.tolist() == [[0, 0, 40, 30]]
    with pytest.raises(UserError, match=r"x\.jpg: has more than 300 pixels"):
        model.embed(path)


def test_an_image_of_pillows_is_turned_upright(model: Model) -> None:
    image = Image.new("RGB", (7, 5))
    image.getexif()[0x0112] = 6
    assert model.detect(image).size_hw == (7, 5)


def test_several_pictures_give_a_list(model: Model) -> None:
    for several in ([picture(5), picture(6)], iter([picture(5), picture(6)])):
        assert [detections.size_hw[0] for detections in model.detect(several)] == [5, 6]
    assert len(model.detect(np.zeros((3, 5, 7, 3), np.uint8))) == 3
    assert model.detect([]) == []


def test_a_region_is_a_box_or_the_whole_picture(model: Model) -> None:
    assert model.embed(picture(5, 7)).tolist() == [[0, 0, 7, 5]]
    assert model.embed(picture(1, 1)).tolist() == [[0, 0, 1, 1]]  # no fractions
    assert model.embed(picture(5, 7), np.zeros((0, 4))).shape == (0, 4)
    assert len(model.embed(picture(5, 7), np.array([[-0.5, 0, 7.9, 5]]))) == 1  # by rounding
    with pytest.raises(UserError, match=r"boxes have shape \(4,\)"):
        model.embed(picture(5, 7), np.zeros(4))
    for box in ([3, 2, 1, 4], [7, 0, 9, 5], [-3, 0, 0, 5], [0, 0, float("nan"), 5], [0, 0, 9, 5]):
        with pytest.raises(UserError, match=r"must be x1 < x2, y1 < y2 within the image's 7x5"):
            model.embed(picture(5, 7), np.array([[0, 0, 7, 5], box]))
    with pytest.raises(UserError, match=r"\[0\.1, 0\.2, 1\.0, 1\.0\]: looks like fractions"):
        model.embed(picture(5, 7), np.array([[0, 0, 7, 5], [0.1, 0.2, 1, 1]]))
    assert model.proposals(picture(5, 7)).tolist() == [[0, 0, 7, 5, 1]]
    assert model.embed_text(["cat", "dog"]).shape == (2, 4)


def test_a_model_is_used_in_its_own_process(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a forked one Jittor waits for ever for threads that are not there."""
    monkeypatch.setattr(runtime, "_runtime", SimpleNamespace(process=os.getpid()))
    assert len(model.detect(picture(4))) == 1
    monkeypatch.setattr(runtime, "_runtime", SimpleNamespace(process=os.getppid()))
    for use in (model.detect, model.proposals, model.embed, lambda _: runtime.bring_up()):
        with pytest.raises(UserError, match=r"was forked .*get_context\('spawn'\)"):
            use(picture(4))


def test_load_takes_a_study_or_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, network: WholePicture
) -> None:
    calls: list[Any] = []

    def opened(*arguments: Any) -> WholePicture:
        calls.append(arguments)
        return network

    monkeypatch.setattr(from_study, "open_network", opened)
    monkeypatch.setattr(from_weights, "open_network", opened)
    file = tmp_path / "w.pth"
    file.touch()
    load("toy")
    load(file, overrides=["rpn=toy"])
    load(weights="a", proposals_weights="b")
    assert calls == [
        ("toy", None, ()),
        ({"weights": file}, ["rpn=toy"]),
        ({"proposals_weights": Path("b"), "weights": Path("a")}, ()),
    ]
    with pytest.raises(UserError, match="weights: a study has its own"):
        load(study="toy", weights="a")
    with pytest.raises(UserError, match="not both"):
        load("toy", weights="a")
