"""The schema of how images reach a network, and of what changes them while it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from unidet.config.fields import (
    Check,
    Factors,
    Fraction,
    Fractions,
    Pixels,
    Positive,
    Sizes,
    Tagged,
    Triple,
    Within,
)

Interpolation = Literal["opencv", "pillow"]
"""Pillow's smooths when it shrinks; torchvision's data pipelines use it, mmdet's OpenCV's."""
AtLeastOne = Annotated[float, Within(ge=1)]


def _ends_with_one(overlaps: tuple[float, ...]) -> tuple[float, ...]:
    if overlaps[-1:] != (1.0,):
        raise ValueError("the last one must be 1, which is no crop")
    return overlaps


@dataclass(frozen=True)
class PhotometricConfig:
    """The fields are explained in `data.views.PhotometricDistortion`; its defaults are
    torchvision's."""

    kind: Literal["photometric"]
    probability: Fraction = 0.5
    brightness: Sizes = (0.875, 1.125)
    contrast: Sizes = (0.5, 1.5)
    saturation: Sizes = (0.5, 1.5)
    hue: Annotated[float, Within(ge=0, le=0.5)] = 0.05


@dataclass(frozen=True)
class ZoomOutConfig:
    """The fields are explained in `data.views.ZoomOut`."""

    kind: Literal["zoom_out"]
    probability: Fraction = 0.5
    largest: AtLeastOne = 4.0


@dataclass(frozen=True)
class IoUCropConfig:
    """The fields are explained in `data.views.IoUCrop`. `overlaps` end with 1, no crop, without
    which an image without boxes would be cropped for ever."""

    kind: Literal["iou_crop"]
    probability: Fraction = 0.8
    scale: Fractions = (0.3, 1.0)
    ratio: Sizes = (0.5, 2.0)
    overlaps: Annotated[tuple[Fraction, ...], Check(_ends_with_one)] = (
        *(0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
    )
    trials: Positive = 40


@dataclass(frozen=True)
class ResizedCropConfig:
    """The fields are explained in `data.views.ResizedCrop`."""

    kind: Literal["resized_crop"]
    short_sides: tuple[Positive, ...]
    sides: Pixels
    probability: Fraction = 0.5


ChangeConfig = Annotated[
    PhotometricConfig | ZoomOutConfig | IoUCropConfig | ResizedCropConfig,
    Tagged("kind"),
]


@dataclass(frozen=True)
class KeepRatioImages:
    """How images reach a network: mmdet's keep-ratio Resize, flips, normalization, padding.

    `mean` and `std` are of 8-bit values, in the order of `channels`. Short sides are drawn in steps
    of `short_step`. With Pillow's interpolation sizes are rounded as DETR rounds them.
    `before_resize` are changes of a training image, made in this order.
    """

    kind: Literal["keep_ratio"]
    short_side: Pixels
    long_side: Positive
    test_short_side: Positive
    test_long_side: Positive
    mean: Triple
    std: Triple
    channels: Literal["rgb", "bgr"] = "rgb"
    horizontal_flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    divisor: Positive = 32
    short_step: Positive = 1
    interpolation: Interpolation = "opencv"
    before_resize: tuple[ChangeConfig, ...] = ()


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges that training images draw from; explained in `data.augmentation.Augmentation`."""

    scale: Sizes = (1.0, 1.0)
    stretch: Sizes = (1.0, 1.0)
    centre: Fractions = (0.5, 0.5)
    brightness: Fraction = 0.0
    contrast: Factors = (1.0, 1.0)
    saturation: Factors = (1.0, 1.0)


@dataclass(frozen=True)
class StretchedImages:
    """Images stretched to a square; a training batch draws its side from `sides`.

    `augmentation` places an image in its square, where it otherwise fills it; the other fields are
    those of `KeepRatioImages`.
    """

    kind: Literal["stretch"]
    sides: tuple[Positive, ...]
    test_side: Positive
    mean: Triple
    std: Triple
    channels: Literal["rgb", "bgr"] = "rgb"
    horizontal_flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    divisor: Positive = 32
    interpolation: Interpolation = "opencv"
    before_resize: tuple[ChangeConfig, ...] = ()
    augmentation: AugmentationConfig | None = None


ImageConfig = Annotated[KeepRatioImages | StretchedImages, Tagged("kind")]
