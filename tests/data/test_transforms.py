"""Resize, flip, normalize, pad: values by hand, or recorded from OpenCV 4.11."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unidet.data.opencv import load_opencv
from unidet.data.resize import resize_bilinear, resize_in_numpy
from unidet.data.transforms import KeepRatio, Stretch, Transform

NO_BOXES, NO_LABELS = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
Resize = Callable[[np.ndarray, int, int], np.ndarray]
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("resize", [resize_bilinear, resize_in_numpy])
def test_resize_is_that_of_opencv(resize: Resize) -> None:
    with np.load(Path(__file__).with_name("resized_by_opencv.npz")) as recorded:
        image = recorded["image"]
        sizes = [name for name in recorded.files if name != "image"]
        for size in sizes:
            width, height = map(int, size.split("x"))
            np.testing.assert_array_equal(resize(image, width, height), recorded[size])
    assert len(sizes) == 7


@pytest.mark.parametrize("resize", [resize_bilinear, resize_in_numpy])
def test_resize_by_hand(resize: Resize) -> None:
    image = np.array([[[0], [100]]], np.uint8)
    # centres of four pixels over two: -0.25, 0.25, 0.75, 1.25
    assert resize(image, 4, 1).ravel().tolist() == [0, 25, 75, 100]
    # shrinking looks at the two pixels around the centre alone
    row = np.array([0, 0, 10, 30, 0, 0], np.uint8).reshape(1, 6, 1)
    assert resize(row, 1, 1).item() == 20


def test_an_image_of_the_size_already_stays_what_it_is() -> None:
    image = np.zeros((1, 2, 1), np.uint8)
    assert resize_bilinear(image, 2, 1) is image


def test_without_opencv_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = rng().integers(0, 256, (37, 53, 3), np.uint8)
    expected = resize_bilinear(image, 80, 21)
    monkeypatch.setitem(sys.modules, "cv2", None)  # its import raises then
    load_opencv.cache_clear()
    try:
        np.testing.assert_array_equal(resize_bilinear(image, 80, 21), expected)
        assert load_opencv() is None
    finally:
        load_opencv.cache_clear()


@pytest.mark.parametrize("shape", [(200_000, 2), (2, 200_000)])
def test_resize_of_a_strip_takes_memory_for_its_new_size(shape: tuple[int, int]) -> None:
    """A buffer of all its old rows in int32 would have 200,000 * 416 * 3 * 4 bytes: 1 GB."""
    image = np.zeros((*shape, 3), np.uint8)
    tracemalloc.start()
    try:
        assert resize_in_numpy(image, 416, 416).shape == (416, 416, 3)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_resize_looks_at_two_rows_for_each_new_one() -> None:
    """One new row of 1,000: centre 499.5, between the rows 499 and 500."""
    image = np.zeros((1000, 1, 1), np.uint8)
    image[499:501] = np.array([[[10]], [[30]]])
    assert resize_in_numpy(image, 1, 1).item() == 20


@pytest.mark.parametrize(
    ("old", "short", "long", "new"),
    [
        ((640, 480), 800, 1333, (1067, 800)),  # 1066.67
        ((480, 640), 800, 1333, (800, 1067)),
        ((1000, 400), 800, 1333, (1333, 533)),  # the long side binds: 533.2
        ((100, 100), 50, 50, (50, 50)),
        ((64, 48), 400, 200, (267, 200)),  # exchanged: short 200, long 400
        ((1000, 1), 10, 100, (100, 1)),  # never below a pixel: 0.1
    ],
)
def test_keep_ratio(old: tuple[int, int], short: int, long: int, new: tuple[int, int]) -> None:
    assert KeepRatio((short, short), long).size(*old, rng()) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((640, 480), (1066, 800)),  # rounded down from 1066.67
        ((1000, 400), (1332, 533)),  # 533.2; 533 * 2.5 = 1332.5
        ((60_000, 1), (1333, 1)),  # 0.02 of a pixel stays one
        ((1, 60_000), (1, 1333)),
    ],
)
def test_keep_ratio_as_detr(old: tuple[int, int], new: tuple[int, int]) -> None:
    assert KeepRatio((800, 800), 1333, truncate=True).size(*old, rng()) == new


def test_stretch_draws_one_of_its_sizes_for_a_batch() -> None:
    draw, resize = rng(), Stretch(((4, 4), (6, 6)))
    drawn = [resize.for_batch(draw) for _ in range(20)]
    assert {stretch.sizes for stretch in drawn} == {((4, 4),), ((6, 6),)}
    assert {stretch.size(10, 7, rng()) for stretch in drawn} == {(4, 4), (6, 6)}


def test_channels_in_the_order_of_the_network() -> None:
    """One pixel R 1, G 2, B 3: B first, each less its own mean."""
    pixel = np.array([[[1, 2, 3]]], np.uint8)
    transform = Transform(Stretch(((1, 1),)), (1, 1, 1), (1, 1, 2), channels="bgr", divisor=1)
    sample = transform.apply(pixel, NO_BOXES, NO_LABELS, None, rng())
    assert transform.collate([sample]).images_NCHW.ravel().tolist() == [2.0, 1.0, 0.0]


def test_keep_ratio_draws_both_ends() -> None:
    draw, resize = rng(), KeepRatio((4, 6), 100)
    assert {resize.size(10, 10, draw) for _ in range(60)} == {(4, 4), (5, 5), (6, 6)}


def test_fixed_size_has_two_scales() -> None:
    transform = Transform(Stretch(((20, 30),)), **PLAIN, divisor=1)
    boxes = np.array([[1, 2, 5, 10]], np.float32)
    sample = transform.apply(np.zeros((10, 10, 3), np.uint8), boxes, np.array([3]), None, rng())
    assert sample.pixels.shape == (30, 20, 3)
    assert sample.scale.tolist() == [2, 3, 2, 3]
    assert sample.boxes.tolist() == [[2, 6, 10, 30]]
    assert sample.proposals is None


@pytest.mark.parametrize(
    ("horizontal", "vertical", "expected"),
    [
        (0.0, 0.0, [2, 4, 8, 12]),
        (1.0, 0.0, [12, 4, 18, 12]),
        (0.0, 1.0, [2, 28, 8, 36]),
        (1.0, 1.0, [12, 28, 18, 36]),
    ],
)
def test_flips_move_pixels_boxes_and_proposals(
    horizontal: float, vertical: float, expected: list[float]
) -> None:
    image = np.zeros((20, 10, 3), np.uint8)
    image[2:6, 1:4] = 200
    boxes = np.array([[1, 2, 4, 6]], np.float32)
    proposals = np.array([[1, 2, 4, 6, 0.75], [-9, 2, 99, 6, 40.0]], np.float32)
    transform = Transform(
        Stretch(((20, 40),)), **PLAIN, horizontal_flip=horizontal, vertical_flip=vertical
    )
    sample = transform.apply(image, boxes, np.array([0]), proposals, rng())
    assert sample.flips == (bool(horizontal), bool(vertical))
    assert sample.boxes.tolist() == [expected]
    assert sample.proposals is not None
    assert sample.proposals[0].tolist() == [*expected, 0.75]
    assert sample.proposals[1, [0, 2]].tolist() == [0, 20]  # clipped to the image
    assert sample.proposals[1, 4] == 40  # the score is no coordinate
    left, top, right, bottom = map(int, expected)
    assert sample.pixels[top + 1 : bottom - 1, left + 1 : right - 1].min() == 200
    assert sample.pixels.astype(bool).sum() <= 3 * (right - left + 2) * (bottom - top + 2)
    assert boxes.tolist() == [[1, 2, 4, 6]]  # the input is left alone


def test_flips_follow_their_probability() -> None:
    transform = Transform(Stretch(((2, 2),)), **PLAIN, horizontal_flip=0.5)
    image, draw = np.zeros((2, 2, 3), np.uint8), rng()
    flips = [transform.apply(image, NO_BOXES, NO_LABELS, None, draw).flips for _ in range(400)]
    assert 160 < sum(horizontal for horizontal, _ in flips) < 240
    assert not any(vertical for _, vertical in flips)


def test_collate_normalizes_and_pads() -> None:
    transform = Transform(KeepRatio((4, 4), 100), (10, 20, 30), (2, 4, 5), divisor=4)
    wide = np.full((4, 6, 3), (12, 24, 40), np.uint8)
    square = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    boxes = np.array([[0, 0, 2, 2]], np.float32)
    batch = transform.collate(
        [
            transform.apply(wide, boxes, np.array([1], np.int32), None, rng()),
            transform.apply(square, NO_BOXES, NO_LABELS, None, rng()),
        ]
    )
    assert batch.images_NCHW.shape == (2, 3, 4, 8)
    assert batch.images_NCHW.dtype == np.float32
    assert batch.images_NCHW[0, :, 3, 5].tolist() == [1, 1, 2]
    assert batch.images_NCHW[0, :, :, 6:].any() == np.False_
    assert batch.images_NCHW[1].any() == np.False_
    assert batch.sizes_N2.tolist() == [[4, 6], [4, 4]]
    assert batch.scales_N4.tolist() == [[1, 1, 1, 1]] * 2
    assert batch.flips_N2.tolist() == [[False, False]] * 2
    assert [len(rows) for rows in batch.boxes] == [1, 0]
    assert batch.proposals is None


def test_normalizing_is_the_same_in_blocks_of_rows_flipped_and_in_bgr() -> None:
    """70 rows are more than two blocks; the value of every pixel is (value - mean) / std."""
    image = rng().integers(0, 256, (70, 5, 3), np.uint8)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    both = {"horizontal_flip": 1.0, "vertical_flip": 1.0, "divisor": 1, "channels": "bgr"}
    transform = Transform(Stretch(((5, 70),)), mean, std, **both)
    batch = transform.collate([transform.apply(image, NO_BOXES, NO_LABELS, None, rng())])
    for channel in range(3):
        values = image[::-1, ::-1, 2 - channel].astype(np.float32) - np.float32(mean[channel])
        expected = values * np.float32(1 / std[channel])
        np.testing.assert_array_equal(batch.images_NCHW[0, channel], expected)


def test_collate_keeps_empty_proposals() -> None:
    transform = Transform(Stretch(((4, 4),)), **PLAIN)
    empty = np.zeros((0, 5), np.float32)
    image = np.zeros((4, 4, 3), np.uint8)
    batch = transform.collate([transform.apply(image, NO_BOXES, NO_LABELS, empty, rng())])
    assert batch.images_NCHW.shape == (1, 3, 32, 32)
    assert batch.proposals is not None
    assert batch.proposals[0].shape == (0, 5)
