from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unidet.data.toy.scenes import Object, Scene, make_scene
from unidet.data.toy.vocabulary import SHAPES

SCENES = 30
FINE = 6


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(np.random.default_rng((7, index)), None) for index in range(SCENES)]


def drawn(item: Object) -> np.ndarray:
    """The object's pixels by another way: several times as large, nearest pixel."""
    image = Image.new("1", (192 * FINE, 192 * FINE))
    draw = ImageDraw.Draw(image)
    for loop, value in zip(item.outline, (1, 0), strict=False):
        draw.polygon([tuple(point) for point in loop * FINE], fill=value)
    return np.asarray(image)


def test_every_object_is_three_fifths_visible(scenes: list[Scene]) -> None:
    hidden = 0
    for scene in scenes:
        above = np.zeros((192 * FINE, 192 * FINE), bool)
        for item in reversed(scene.objects):
            pixels = drawn(item)
            visible = 1 - (pixels & above).sum() / pixels.sum()
            assert visible >= 0.6 - 0.02
            assert visible == pytest.approx(item.visible, abs=0.04)
            hidden += visible < 0.9
            above |= pixels
    assert hidden > 10


def test_boxes_are_tight_around_the_whole_object_and_inside(scenes: list[Scene]) -> None:
    for scene in scenes:
        for item in scene.objects:
            pixels = drawn(item)
            columns, rows = (np.flatnonzero(pixels.any(axis=axis)) for axis in (0, 1))
            drawn_box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / FINE
            assert np.abs(drawn_box - item.box).max() < 0.3
            assert item.box.min() >= 0
            assert item.box.max() <= 192


def test_counts_sizes_and_turns_are_in_range(scenes: list[Scene]) -> None:
    counts = [len(scene.objects) for scene in scenes]
    assert set(counts) == set(range(3, 9))
    objects = [item for scene in scenes for item in scene.objects]
    assert all(18 <= item.size <= 96 for item in objects)
    assert all(abs(item.angle) <= np.pi / 4 for item in objects)
    # The median of a log-uniform size is the geometric mean, 41.6; places favour the small.
    assert 35 < np.median([item.size for item in objects]) < 45
    assert {SHAPES[item.attributes[0]] for item in objects} == set(SHAPES)


def test_a_scene_is_its_generator_and_nothing_else(scenes: list[Scene]) -> None:
    again = make_scene(np.random.default_rng((7, 3)), None)
    assert (again.image == scenes[3].image).all()
    assert (again.image != scenes[4].image).any()


def test_another_size_shows_the_same_scene(scenes: list[Scene]) -> None:
    large = make_scene(np.random.default_rng((7, 3)), None, size=384)
    assert large.image.shape == (384, 384, 3)
    for item, other in zip(scenes[3].objects, large.objects, strict=True):
        assert (item.box == other.box).all()
    small = np.asarray(Image.fromarray(large.image).reduce(2), float)
    assert np.abs(small - scenes[3].image).mean() < 12


def test_the_picture_shows_the_colour(scenes: list[Scene]) -> None:
    """The mean colour of whole solid red, green and blue things leans the right way."""
    seen = 0
    for scene in scenes:
        for item in scene.objects:
            _, colour, texture = item.attributes
            if texture == 0 and colour in (0, 3, 5) and item.visible == 1:
                mean = scene.image[drawn(item)[3::FINE, 3::FINE]].mean(axis=0)
                assert mean.argmax() == (0, 3, 5).index(colour)
                seen += 1
    assert seen > 3
