"""Schema of how images are prepared for a network, and of training augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from unidet.config.fields import (
    Check,
    Deviations,
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
"""Pillow's antialiases when shrinking, as torchvision's pipelines; mmdet's use OpenCV's."""
AtLeastOne = Annotated[float, Within(ge=1)]


def _ends_with_one(overlaps: tuple[float, ...]) -> tuple[float, ...]:
    if overlaps[-1:] != (1.0,):
        raise ValueError("the last one must be 1, which is no crop")
    return overlaps


@dataclass(frozen=True)
class PhotometricConfig:
    """For the fields see `data.views.PhotometricDistortion`; the defaults are torchvision's."""

    kind: Literal["photometric"]
    probability: Fraction = 0.5
    brightness: Sizes = (0.875, 1.125)
    contrast: Sizes = (0.5, 1.5)
    saturation: Sizes = (0.5, 1.5)
    hue: Annotated[float, Within(ge=0, le=0.5)] = 0.05


@dataclass(frozen=True)
class ZoomOutConfig:
    """For the fields see `data.views.ZoomOut`."""

    kind: Literal["zoom_out"]
    probability: Fraction = 0.5
    largest: AtLeastOne = 4.0


@dataclass(frozen=True)
class IoUCropConfig:
    """For the fields see `data.views.IoUCrop`.

    `overlaps` must end with 1, which means no crop; otherwise cropping an image without boxes would
    not end.
    """

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
    """For the fields see `data.views.ResizedCrop`."""

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
    """mmdet's keep-ratio Resize, flips, normalization and padding.

    Sides are in pixels. `mean` and `std` refer to 8-bit values, in the order of `channels`. Short
    sides are drawn in steps of `short_step`. With interpolation "pillow" sizes are rounded as in
    DETR. `before_resize` are augmentations of a training image, applied in this order.
    """

    kind: Literal["keep_ratio"]
    short_side: Pixels
    long_side: Positive
    test_short_side: Positive
    test_long_side: Positive
    mean: Triple
    std: Deviations
    channels: Literal["rgb", "bgr"] = "rgb"
    horizontal_flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    divisor: Positive = 32
    short_step: Positive = 1
    interpolation: Interpolation = "opencv"
    before_resize: tuple[ChangeConfig, ...] = ()


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges from which training images draw; see `data.augmentation.Augmentation`."""

    scale: Sizes = (1.0, 1.0)
    stretch: Sizes = (1.0, 1.0)
    centre: Fractions = (0.5, 0.5)
    brightness: Fraction = 0.0
    contrast: Factors = (1.0, 1.0)
    saturation: Factors = (1.0, 1.0)


@dataclass(frozen=True)
class StretchedImages:
    """Images stretched to a square; each training batch draws its side, in pixels, from `sides`.

    With `augmentation` null an image fills its square; otherwise `augmentation` places the image
    in it. The other fields are those of `KeepRatioImages`.
    """

    kind: Literal["stretch"]
    sides: tuple[Positive, ...]
    test_side: Positive
    mean: Triple
    std: Deviations
    channels: Literal["rgb", "bgr"] = "rgb"
    horizontal_flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    divisor: Positive = 32
    interpolation: Interpolation = "opencv"
    before_resize: tuple[ChangeConfig, ...] = ()
    augmentation: AugmentationConfig | None = None


ImageConfig = Annotated[KeepRatioImages | StretchedImages, Tagged("kind")]
