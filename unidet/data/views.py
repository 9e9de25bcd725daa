"""Random changes of a training image before it is resized: colours, zooming out, crops.

H, W are an image's sides, M its boxes. Everything is drawn from the generator that is given, so a
view depends on it alone. Sources: torchvision/transforms/v2 `RandomPhotometricDistort`,
`RandomZoomOut`, `RandomIoUCrop`, `SanitizeBoundingBoxes`; detr datasets/transforms.py
`RandomResize`, `RandomSizeCrop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageEnhance

from unidet.data.resize import resize_smoothly
from unidet.ops.numpy_boxes import broadcast_iou

Range = tuple[float, float]


@dataclass(frozen=True)
class View:
    """An image (H, W, 3) RGB uint8 with its boxes (M, 4) float32 xyxy in pixels, labels (M,)."""

    pixels: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray

    def cropped(self, left: int, top: int, width: int, height: int, smallest: float) -> View:
        """The part, with the boxes clipped to it that keep more than `smallest` pixels a side."""
        pixels = self.pixels[top : top + height, left : left + width]
        moved: np.ndarray = self.boxes - np.array([left, top] * 2, np.float32)
        clipped: np.ndarray = np.clip(moved, 0, np.array([width, height] * 2, np.float32))
        kept = (clipped[:, 2:] - clipped[:, :2] > smallest).all(axis=1)
        return View(pixels, clipped[kept], self.labels[kept])


class Change(Protocol):
    """One kind of random change."""

    def __call__(self, view: View, rng: np.random.Generator) -> View: ...


@dataclass(frozen=True)
class PhotometricDistortion:
    """Each with `probability`: brightness, contrast, saturation, hue and the order of channels.

    Brightness, contrast and saturation are factors, `hue` the largest shift in turns of the circle.
    """

    probability: float
    brightness: Range
    contrast: Range
    saturation: Range
    hue: float

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        image = Image.fromarray(view.pixels)
        contrast = self._factor(ImageEnhance.Contrast, self.contrast)
        contrast_last = rng.random() < 0.5
        steps = [
            self._factor(ImageEnhance.Brightness, self.brightness),
            *([] if contrast_last else [contrast]),
            self._factor(ImageEnhance.Color, self.saturation),
            self._turned,
            *([contrast] if contrast_last else []),
        ]
        for step in steps:
            if rng.random() < self.probability:
                image = step(image, rng)
        pixels = np.asarray(image)
        if rng.random() < self.probability:
            pixels = pixels[:, :, rng.permutation(3)]
        return View(pixels, view.boxes, view.labels)

    @staticmethod
    def _factor(
        kind: Callable[[Image.Image], ImageEnhance._Enhance], limits: Range
    ) -> Callable[[Image.Image, np.random.Generator], Image.Image]:
        return lambda image, rng: kind(image).enhance(float(rng.uniform(*limits)))

    def _turned(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        channels = np.array(image.convert("HSV"))
        shift = int(rng.uniform(-self.hue, self.hue) * 255)
        channels[:, :, 0] = (channels[:, :, 0].astype(np.int32) + shift) % 256
        return Image.fromarray(channels, "HSV").convert("RGB")


@dataclass(frozen=True)
class ZoomOut:
    """With `probability` the image somewhere on a black canvas up to `largest` times its sides."""

    probability: float
    largest: float

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        if rng.random() >= self.probability:
            return view
        height, width = view.pixels.shape[:2]
        factor = rng.uniform(1.0, self.largest)
        wide, high = int(width * factor), int(height * factor)
        left, top = (int(room * rng.random()) for room in (wide - width, high - height))
        canvas = np.zeros((high, wide, 3), np.uint8)
        canvas[top : top + height, left : left + width] = view.pixels
        moved = view.boxes + np.array([left, top] * 2, np.float32)
        return View(canvas, moved, view.labels)


@dataclass(frozen=True)
class IoUCrop:
    """With `probability` a crop around boxes' centres, one of which overlaps it by a drawn IoU.

    Sides are fractions in `scale`, their ratio (width / height) is in `ratio`. `overlaps` are the
    least IoUs of the best box, 1 for no crop; after `trials` without luck another one is drawn.
    Boxes stay whose centre is inside and that keep at least a pixel a side.
    """

    probability: float
    scale: Range
    ratio: Range
    overlaps: tuple[float, ...]
    trials: int

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        if rng.random() >= self.probability:
            return view
        while (overlap := float(rng.choice(self.overlaps))) < 1:
            for _ in range(self.trials):
                cropped = self._try(view, overlap, rng)
                if cropped is not None:
                    return cropped
        return view

    def _try(self, view: View, overlap: float, rng: np.random.Generator) -> View | None:
        old_height, old_width = view.pixels.shape[:2]
        width, height = (int(side * rng.uniform(*self.scale)) for side in (old_width, old_height))
        left, top = (int(room * rng.random()) for room in (old_width - width, old_height - height))
        if not (width and height and self.ratio[0] <= width / height <= self.ratio[1]):
            return None
        crop = np.array([left, top, left + width, top + height], np.float32)
        centres = (view.boxes[:, :2] + view.boxes[:, 2:]) / 2
        inside = ((centres > crop[:2]) & (centres < crop[2:])).all(axis=1)
        if not inside.any() or broadcast_iou(view.boxes[inside], crop).max() < overlap:
            return None
        inner = View(view.pixels, view.boxes[inside], view.labels[inside])
        return inner.cropped(left, top, width, height, smallest=np.nextafter(1.0, 0.0))


@dataclass(frozen=True)
class ResizedCrop:
    """With `probability` resized to one of `short_sides`, then cropped to sides drawn from `sides`
    (inclusive, no more than there is); degenerate boxes are left out."""

    probability: float
    short_sides: tuple[int, ...]
    sides: tuple[int, int]

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        if rng.random() >= self.probability:
            return view
        old_height, old_width = view.pixels.shape[:2]
        factor = int(rng.choice(self.short_sides)) / min(old_width, old_height)
        width, height = (max(1, int(side * factor)) for side in (old_width, old_height))
        pixels = resize_smoothly(view.pixels, width, height)
        scale = np.array([width / old_width, height / old_height] * 2, np.float32)
        resized = View(pixels, view.boxes * scale, view.labels)
        wide, high = (self._side(side, rng) for side in (width, height))
        left, top = (int(rng.integers(room + 1)) for room in (width - wide, height - high))
        return resized.cropped(left, top, wide, high, smallest=0.0)

    def _side(self, side: int, rng: np.random.Generator) -> int:
        smallest = min(self.sides[0], side)
        return int(rng.integers(smallest, min(self.sides[1], side) + 1))
