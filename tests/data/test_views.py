"""Changes of training images: what moves with the pixels, what is dropped, how often, how far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from unidet.data.resize import resize_smoothly
from unidet.data.transforms import KeepRatio, Stretch, Transform
from unidet.data.views import (
    Change,
    IoUCrop,
    PhotometricDistortion,
    ResizedCrop,
    View,
    ZoomOut,
)

COLOURS = PhotometricDistortion(1.0, (0.875, 1.125), (0.5, 1.5), (0.5, 1.5), 0.05)
CROP = IoUCrop(1.0, (0.3, 1.0), (0.5, 2.0), (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0), 40)


def marked(*boxes: tuple[int, int, int, int], width: int = 60, height: int = 40) -> View:
    """A grey image in which every box is a rectangle of a grey of its own, label = number."""
    pixels = np.full((height, width, 3), 10, np.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes):
        pixels[top:bottom, left:right] = 100 + 20 * number
    return View(pixels, np.array(boxes, np.float32).reshape(-1, 4), np.arange(len(boxes)))


def contains_its_boxes(view: View) -> bool:
    """Every box is filled with its grey, and nothing else is."""
    painted = np.full_like(view.pixels, 10)
    painted[(view.pixels == 0).all(axis=2)] = 0
    for (left, top, right, bottom), label in zip(view.boxes.astype(int), view.labels, strict=True):
        painted[top:bottom, left:right] = 100 + 20 * label
    return bool((painted == view.pixels).all())


def test_zoom_out() -> None:
    view, sizes, places = marked((5, 5, 20, 30), (40, 10, 60, 40)), [], []
    for seed in range(200):
        zoomed = ZoomOut(0.5, 4.0)(view, np.random.default_rng(seed))
        assert contains_its_boxes(zoomed)
        assert zoomed.labels.tolist() == [0, 1]
        sizes.append(zoomed.pixels.shape[1])
        places.append(zoomed.boxes[0, 0])
    assert 80 < sizes.count(60) < 120
    assert (min(sizes), max(sizes)) >= (60, 220)
    assert max(sizes) <= 240
    assert max(places) > 100


def test_crops_by_iou() -> None:
    """Boxes with their centre inside stay, clipped; one overlaps as much as was drawn."""
    view, crops = marked((5, 5, 20, 30), (40, 10, 60, 40)), 0
    for seed in range(200):
        cropped = CROP(view, np.random.default_rng(seed))
        height, width = cropped.pixels.shape[:2]
        if (width, height) == (60, 40):
            continue
        crops += 1
        assert 0.5 <= width / height <= 2
        assert width >= 18
        assert height >= 12
        assert len(cropped.boxes)
        assert (cropped.boxes >= 0).all()
        assert (cropped.boxes <= np.array([width, height] * 2)).all()
        for box, label in zip(cropped.boxes.astype(int), cropped.labels, strict=True):
            left, top, right, bottom = box
            assert (cropped.pixels[top:bottom, left:right] == 100 + 20 * label).all()
    assert 150 < crops < 195


def test_the_least_overlap_is_kept() -> None:
    view, crops = marked((10, 10, 50, 30)), 0
    for seed in range(50):
        cropped = replace(CROP, overlaps=(0.7, 1.0))(view, np.random.default_rng(seed))
        height, width = cropped.pixels.shape[:2]
        inside = np.prod(cropped.boxes[0, 2:] - cropped.boxes[0, :2])
        if (width, height) != (60, 40):
            assert inside / (800 + width * height - inside) >= 0.7
            crops += 1
    assert crops > 5


def test_an_image_without_boxes_is_never_cropped_by_iou() -> None:
    view = marked()
    assert CROP(view, np.random.default_rng(0)).pixels is view.pixels


def test_resized_crop() -> None:
    """600 x 400 to a short side of 60 (90 x 60) or 100 (150 x 100), crops of 30 to 80 pixels."""
    view, seen = marked((0, 0, 300, 400), width=600, height=400), set()
    crop = ResizedCrop(1.0, (60, 100), (30, 80))
    for seed in range(200):
        cropped = crop(view, np.random.default_rng(seed))
        height, width = cropped.pixels.shape[:2]
        assert 30 <= height <= 80
        assert 30 <= width <= 80
        if len(cropped.boxes):
            left, top, right, bottom = cropped.boxes[0]
            assert (left, top, bottom) == (0, 0, height)
            middle = cropped.pixels[0, :, 0]
            assert abs((middle > 50).sum() - right) <= 1
            assert right > 0
        else:
            assert (cropped.pixels[:, 1:] == 10).all()
        seen |= {("wide", width > 75), ("high", height > 60), ("box", bool(len(cropped.boxes)))}
    assert len(seen) == 6
    assert crop(marked(width=20, height=500), np.random.default_rng(0)).pixels.shape[1] <= 80


def test_colours() -> None:
    """Factors by hand: only brightness, only the order of channels; boxes are left alone."""
    view = marked((5, 5, 20, 30))
    view.pixels[:] = (40, 80, 160)
    still = {"contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": 0.0}
    seen = set()
    for seed in range(60):
        changed = replace(COLOURS, brightness=(0.5, 0.5), **still)(
            view, np.random.default_rng(seed)
        )
        assert changed.boxes is view.boxes
        seen.add(tuple(changed.pixels[0, 0].tolist()))
    # the way to hue and back rounds
    assert np.abs(np.array([sorted(pixel) for pixel in seen]) - [20, 40, 80]).max() <= 1
    assert len({tuple(np.argsort(pixel)) for pixel in seen}) == 6
    never = replace(COLOURS, probability=0.0)(view, np.random.default_rng(0))
    np.testing.assert_array_equal(never.pixels, view.pixels)


def test_hue_turns() -> None:
    """Red turned by up to a twentieth of the circle: 18 degrees towards yellow or magenta."""
    red = marked()
    red.pixels[:] = (255, 0, 0)
    only = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0)}
    changed = [replace(COLOURS, **only)(red, np.random.default_rng(s)).pixels for s in range(40)]
    middles = [sorted(pixels[0, 0].tolist())[1] for pixels in changed]
    assert all(sorted(pixels[0, 0].tolist())[::2] == [0, 255] for pixels in changed)
    assert 50 < max(middles) <= 0.3 * 255 + 3


@pytest.mark.parametrize(
    "change", [COLOURS, ZoomOut(0.5, 4), CROP, ResizedCrop(0.5, (60,), (9, 50))]
)
def test_the_generator_alone_decides(change: Change) -> None:
    view = marked((5, 5, 20, 30), (40, 10, 60, 40))
    before = view.pixels.copy()
    for seed in range(20):
        first, again = (change(view, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(first.pixels, again.pixels)
        np.testing.assert_array_equal(first.boxes, again.boxes)
    np.testing.assert_array_equal(view.pixels, before)


def test_before_the_resize() -> None:
    """Boxes and labels of the crop alone go on, in the resized frame."""

    def right_half(view: View, rng: np.random.Generator) -> View:
        return view.cropped(30, 0, 30, 40, smallest=0)

    transform = Transform(Stretch(((60, 40),)), (0, 0, 0), (1, 1, 1), before_resize=(right_half,))
    view = marked((0, 0, 20, 10), (40, 10, 60, 40))
    sample = transform.apply(view.pixels, view.boxes, view.labels, None, np.random.default_rng(0))
    assert sample.pixels.shape == (40, 60, 3)
    assert sample.labels.tolist() == [1]
    np.testing.assert_allclose(sample.boxes, [[20, 10, 60, 40]])


@pytest.mark.parametrize(
    ("old", "short", "new"),
    [
        ((640, 480), 800, (1066, 800)),  # 1066.67, truncated
        ((480, 640), 800, (800, 1066)),
        ((1000, 400), 800, (1332, 533)),  # the long side binds: short 533.2, long 1332.5
        ((500, 500), 480, (480, 480)),
    ],
)
def test_sizes_of_detr(old: tuple[int, int], short: int, new: tuple[int, int]) -> None:
    resize = KeepRatio((short, short), 1333, truncate=True)
    assert resize.size(*old, np.random.default_rng(0)) == new


def test_short_sides_in_steps() -> None:
    rng, resize = np.random.default_rng(0), KeepRatio((480, 800), 9999, step=32)
    assert {resize.size(100, 100, rng)[0] for _ in range(300)} == set(range(480, 801, 32))


def test_smooth_resize() -> None:
    """Every pixel counts when an image shrinks: a third of one bright column in three."""
    image = np.zeros((6, 12, 3), np.uint8)
    image[:, ::3] = 90
    resized = resize_smoothly(image, 4, 2)
    assert resized.shape == (2, 4, 3)
    assert abs(int(resized[0, 1, 0]) - 30) <= 3
    assert resize_smoothly(image, 12, 6) is image
    expected = np.asarray(Image.fromarray(image).resize((4, 2), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resized, expected)
