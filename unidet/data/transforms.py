"""Preprocessing of images and boxes to batches: resize or place, flip, colours, normalize, pad.

Order and rounding are mmdet 2.18's (datasets/pipelines/transforms.py: Resize, RandomFlip,
Normalize, Pad). H, W are the original size, h, w the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unidet.data.augmentation import Augmentation, Placement, place
from unidet.data.resize import resize_bilinear, resize_smoothly
from unidet.data.views import Change, View
from unidet.records import Batch

Triple = tuple[float, float, float]
_ROWS = 32  # rows of an image that are normalized at a time


@dataclass(frozen=True)
class KeepRatio:
    """Short side a random integer in `short_side` (inclusive), long side at most `long_side`.

    Same as mmdet's Resize with keep_ratio and multiscale_mode 'range'. `truncate` rounds as DETR's
    datasets/transforms.py `resize`. `step` is the step between possible short sides.
    """

    short_side: tuple[int, int]
    long_side: int
    step: int = 1
    truncate: bool = False

    def size(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int]:
        """New (width, height)."""
        smallest, largest = self.short_side
        short = smallest + self.step * int(rng.integers((largest - smallest) // self.step + 1))
        if self.truncate:
            return self._truncated(short, width, height)
        # mmcv sorts the pair, so a short side larger than the long one becomes the long one
        short, long = sorted((short, self.long_side))
        scale = min(long / max(width, height), short / min(width, height))
        return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))

    def _truncated(self, short: int, width: int, height: int) -> tuple[int, int]:
        """New (width, height): the short side exact unless the long side limits it, the other
        rounded down."""
        lesser, greater = sorted((width, height))
        if greater / lesser * short > self.long_side:
            short = round(self.long_side * lesser / greater)
        # For less than half a pixel, DETR's code fails.
        other = max(1, int(short * greater / lesser)) if short else self.long_side
        short = max(1, short)
        return (short, other) if width < height else (other, short)

    def for_batch(self, rng: np.random.Generator) -> KeepRatio:
        """Return itself: each image of a batch draws its own size."""
        return self


@dataclass(frozen=True)
class Stretch:
    """One (width, height) for all images of a batch, drawn from `sizes`; ratios are not kept."""

    sizes: tuple[tuple[int, int], ...]

    def size(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int]:
        """New (width, height): the first size, which is the only one after `for_batch`."""
        return self.sizes[0]

    def for_batch(self, rng: np.random.Generator) -> Stretch:
        """A copy with one size, drawn for the batch."""
        return Stretch((self.sizes[int(rng.integers(len(self.sizes)))],))


@dataclass
class Sample:
    """One image after resizing and flipping, pixels (h, w, 3); frames as in `Batch`.

    Pixels are uint8, or float32 on the same scale after a colour augmentation.
    """

    pixels: np.ndarray
    scale: np.ndarray
    flips: tuple[bool, bool]
    boxes: np.ndarray
    labels: np.ndarray
    proposals: np.ndarray | None
    dataset_id: int = 0
    row: int = 0


@dataclass(frozen=True)
class Transform:
    """The preprocessing of images.

    Attributes:
        resize: how the new size is chosen.
        mean, std: of 8-bit values, in the order of `channels`.
        horizontal_flip, vertical_flip: independent probabilities.
        divisor: padded height and width are multiples of it.
        channels: order of channels that the network expects.
        augmentation: placement in the new size and change of colours; None fills the size and keeps
            the colours.
        smooth: resize as Pillow does instead of OpenCV.
        before_resize: augmentations of the original image, in this order; proposals are not
            changed by them.
    """

    resize: KeepRatio | Stretch
    mean: Triple
    std: Triple
    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    divisor: int = 32
    channels: Literal["rgb", "bgr"] = "rgb"
    augmentation: Augmentation | None = None
    smooth: bool = False
    before_resize: tuple[Change, ...] = ()

    def for_batch(self, rng: np.random.Generator) -> Transform:
        """The transform of one batch, with values drawn that its images share."""
        return replace(self, resize=self.resize.for_batch(rng))

    def padded_size(self, width: int, height: int) -> tuple[int, int]:
        """Padded (height, width) of a single image, for transforms without random sizes."""
        new = self.resize.size(width, height, np.random.default_rng(0))
        return self._padded(new[1]), self._padded(new[0])

    def _padded(self, side: int) -> int:
        return -(-side // self.divisor) * self.divisor

    def apply(
        self,
        image_HWC: np.ndarray,
        boxes: np.ndarray,
        labels: np.ndarray,
        proposals: np.ndarray | None,
        rng: np.random.Generator,
    ) -> Sample:
        """Resize and flip one image (uint8) with its boxes (M, 4) and proposals (P, 5).

        Random numbers are drawn in this order: augmentations before the resize, size, horizontal
        and vertical flip, augmentation. The sample's scale is relative to the augmented image.
        """
        view = View(image_HWC, boxes, labels)
        for change in self.before_resize:
            view = change(view, rng)
        image_HWC, boxes, labels = view.pixels, view.boxes, view.labels
        old = image_HWC.shape[1], image_HWC.shape[0]
        new = self.resize.size(*old, rng)
        flips = bool(rng.random() < self.horizontal_flip), bool(rng.random() < self.vertical_flip)
        if self.augmentation is None:
            placement = Placement(np.array(new) / old, np.zeros(2))
            resize = resize_smoothly if self.smooth else resize_bilinear
            pixels = resize(image_HWC, *new)
        else:
            placement = self.augmentation.placement(old, new, rng)
            pixels = self.augmentation.recolour(place(image_HWC, *new, placement), rng)
        return Sample(
            pixels=pixels[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1],
            scale=np.tile(placement.scale.astype(np.float32), 2),
            flips=flips,
            boxes=_move(boxes, placement, flips, new),
            labels=labels,
            proposals=None if proposals is None else _move(proposals, placement, flips, new),
        )

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Normalize, pad at the right and bottom with zeros, and stack N samples."""
        sizes = np.array([sample.pixels.shape[:2] for sample in samples], np.int32)
        height, width = (self._padded(int(side)) for side in sizes.max(axis=0))
        images = np.zeros((len(samples), 3, height, width), np.float32)
        for image, sample in zip(images, samples, strict=True):
            self._normalize_into(image, sample.pixels)
        proposals = [sample.proposals for sample in samples if sample.proposals is not None]
        return Batch(
            images_NCHW=images,
            sizes_N2=sizes,
            scales_N4=np.stack([sample.scale for sample in samples]),
            flips_N2=np.array([sample.flips for sample in samples]),
            boxes=[sample.boxes for sample in samples],
            labels=[sample.labels for sample in samples],
            dataset_ids=np.array([sample.dataset_id for sample in samples], np.int32),
            image_rows=np.array([sample.row for sample in samples], np.int32),
            proposals=proposals if len(proposals) == len(samples) else None,
        )

    def _normalize_into(self, image_CHW: np.ndarray, pixels: np.ndarray) -> None:
        """Normalize some rows at a time, all channels while they are in the CPU's cache."""
        height, width = pixels.shape[:2]
        filled_CHW = image_CHW[:, :height, :width]
        order = slice(None) if self.channels == "rgb" else slice(None, None, -1)
        mean = np.array(self.mean, np.float32)[order]
        factor = np.array([1 / deviation for deviation in self.std], np.float32)[order]
        means, factors = np.tile(mean, width), np.tile(factor, width)
        for first in range(0, height, _ROWS):
            rows = np.ascontiguousarray(pixels[first : first + _ROWS]).reshape(-1, 3 * width)
            values = rows.astype(np.float32)
            values -= means
            values *= factors
            channels = values.reshape(-1, width, 3)[:, :, order].transpose(2, 0, 1)
            filled_CHW[:, first : first + _ROWS] = channels


def _move(
    rows: np.ndarray, placement: Placement, flips: tuple[bool, bool], size: tuple[int, int]
) -> np.ndarray:
    """Place the boxes in columns 0:4, clip them to the image and flip them; keep other columns."""
    moved = np.array(rows, np.float32)
    moved[:, :4] *= np.tile(placement.scale.astype(np.float32), 2)
    moved[:, :4] += np.tile(placement.shift.astype(np.float32), 2)
    for axis, (side, flip) in enumerate(zip(size, flips, strict=True)):
        near, far = (moved[:, axis + end].clip(0, side) for end in (0, 2))
        moved[:, axis], moved[:, axis + 2] = (side - far, side - near) if flip else (near, far)
    return moved
