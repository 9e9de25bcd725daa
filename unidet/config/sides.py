"""Which sides of images a network takes."""

from __future__ import annotations

from typing import Any

from unidet.config.images import ImageConfig
from unidet.config.networks import (
    ClassifierConfig,
    EfficientNetConfig,
    LocalizationConfig,
    ResNetConfig,
    RTDETRConfig,
    stride,
)

_WHOLE_MAP = 3
"""The layer of a network for regions that sees whole images."""


def check_sides(network: Any, images: ImageConfig) -> None:
    """ValueError where images are padded to sides that the network does not take."""
    multiple = _multiple(network)
    if images.divisor % multiple:
        raise ValueError(
            f"images.divisor is {images.divisor}; must be a multiple of {multiple}, as the sides "
            "that the network takes"
        )


def _multiple(network: Any) -> int:
    """What the sides must be multiples of; 1 for any."""
    if isinstance(network, RTDETRConfig):
        return 32
    if isinstance(network, LocalizationConfig):
        return _of_backbone(network.backbone, network.outputs[-1])
    if isinstance(network, ClassifierConfig):
        return _of_backbone(network.backbone, _WHOLE_MAP)
    return 1


def _of_backbone(backbone: ResNetConfig | EfficientNetConfig, layer: int) -> int:
    """Where a convolution rounds half a side up and the pool beside it down, all must be even;
    EfficientNet pads as TensorFlow does for even ones."""
    if isinstance(backbone, ResNetConfig):
        basic = backbone.block == "basic"
        if backbone.style == "torchvision" or (backbone.style == "clip" and not basic):
            return 1
    return stride(backbone, layer)
