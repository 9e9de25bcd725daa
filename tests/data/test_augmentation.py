"""Placement and colours of training images, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.data.augmentation import Augmentation, Placement, place, saturated
from unidet.data.resize import resize_bilinear
from unidet.data.transforms import Stretch, Transform

OFFICIAL = Augmentation((0.6, 1.4), (0.8, 1.2), (0.3, 0.7), 0.2, (0.6, 1.4), (0.5, 1.2))


def fixed(value: float) -> tuple[float, float]:
    return value, value


def test_a_placement_by_hand() -> None:
    """200 x 100 pixels in 416 x 416, 1.2 times as large, at 0.6 of the frame: the image's middle,
    (100, 50), comes to (249.6, 249.6), and its width is 200 * 416 / 200 * 1.2 = 499.2."""
    drawn = Augmentation(fixed(1.2), fixed(1.0), fixed(0.6), 0, fixed(1), fixed(1))
    placement = drawn.placement((200, 100), (416, 416), np.random.default_rng(0))
    assert placement.scale == pytest.approx([2.496, 4.992])
    assert placement.scale * [100, 50] + placement.shift == pytest.approx([249.6, 249.6])


def test_placements_fill_their_ranges() -> None:
    """Size 0.6 * 0.8 to 1.4 * 1.2 of the frame, the axes alike but for the stretch of 0.8 to 1.2;
    the centre 0.3 to 0.7, each axis by itself."""
    rng = np.random.default_rng(0)
    placements = [OFFICIAL.placement((50, 80), (400, 400), rng) for _ in range(4000)]
    size = np.array([p.scale * (50, 80) for p in placements]) / 400
    centre = np.array([p.scale * (25, 40) + p.shift for p in placements]) / 400
    ratio = size[:, 0] / size[:, 1]
    for values, low, high in ((size, 0.48, 1.68), (ratio, 0.8 / 1.2, 1.5), (centre, 0.3, 0.7)):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    assert abs(np.corrcoef(centre.T)[0, 1]) < 0.05


def test_pixels_are_placed_as_points_are() -> None:
    """One row of 10, 30 twice as large, from 1 on: centres at 0.5 + (x - 1) / 2, black outside."""
    row = np.array([[[10], [30]]], np.uint8)
    placed = place(row, 7, 1, Placement(np.array([2.0, 1.0]), np.array([1.0, 0.0])))
    # sources of the seven centres: -0.75, -0.25, 0.25, 0.75, 1.25, 1.75, 2.25
    assert placed.ravel().tolist() == [2, 8, 15, 25, 22, 8, 0]


def test_placed_to_fill_its_frame_an_image_is_stretched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    placed = place(image, 50, 24, Placement(np.array([50 / 30, 24 / 40]), np.zeros(2)))
    stretched = resize_bilinear(image, 50, 24)
    inner = np.abs(placed.astype(int) - stretched)[1:-1, 1:-1]
    assert inner.max() <= 1


def test_boxes_stay_on_what_they_hold() -> None:
    """A white box on black: wherever it is placed, its pixels are inside and nothing outside."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[15:45, 20:50] = 255
    box = np.array([[20, 15, 50, 45]], np.float32)
    still = Augmentation((0.6, 1.4), (0.8, 1.2), (0.3, 0.7), 0, fixed(1), fixed(1))
    plain = Transform(Stretch(((96, 96),)), (0, 0, 0), (1, 1, 1), 0.5, 0.5, augmentation=still)
    flipped = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sample = plain.apply(image, box, np.zeros(1, np.int32), box, rng)
        rows, columns = np.nonzero(sample.pixels[:, :, 0] > 127)
        white = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(sample.boxes[0], white, atol=0.51)
        np.testing.assert_array_equal(sample.boxes, sample.proposals)
        flipped.add(sample.flips)
    assert len(flipped) == 4


def test_saturation_by_hand() -> None:
    """Value 0.8 stays; the others go halfway towards it, or 1.2 times as far from it."""
    colour = np.array([0.2, 0.4, 0.8], np.float32)
    assert saturated(colour, 0.5) == pytest.approx([0.5, 0.6, 0.8])
    assert saturated(colour, 1.2) == pytest.approx([0.08, 0.32, 0.8])


def test_each_change_of_colour_comes_in_every_second_image() -> None:
    grey = np.full((1, 1, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    drawn = Augmentation(fixed(1), fixed(1), fixed(0.5), 0.2, fixed(1.4), fixed(1))
    values = np.array([drawn.recolour(grey, rng)[0, 0, 0] for _ in range(1000)])
    assert np.isclose(values, 100).mean() == pytest.approx(0.25, abs=0.05)
    assert np.isclose(values, 140).mean() == pytest.approx(0.25, abs=0.05)
    assert 49 <= values.min() < 55
    assert 205 < values.max() <= 151 * 1.4 + 1e-3


def test_colours_are_not_clipped() -> None:
    bright = Augmentation(fixed(1), fixed(1), fixed(0.5), 0.0, fixed(1.4), fixed(1))
    white = np.full((1, 1, 3), 255, np.uint8)
    values = {round(bright.recolour(white, np.random.default_rng(n)).item(0)) for n in range(9)}
    assert values == {255, 357}
