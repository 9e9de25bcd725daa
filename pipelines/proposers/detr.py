"""DETR as a proposer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unidet.config.networks import DETRConfig
from unidet.pipelines.proposers.proposer import Kind

if TYPE_CHECKING:
    from unidet.models.detr.network import DETR


def build(settings: DETRConfig, classes: int, is_trained: bool) -> DETR:
    """Class-agnostic with one class."""
    from unidet.models.detr.network import DETR

    return DETR(settings, classes=max(classes, 1))


KIND = Kind(build=build, class_arrays=("class_embed.*",))
