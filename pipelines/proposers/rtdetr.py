"""RT-DETR as a proposer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unidet.config.networks import RTDETRConfig
from unidet.pipelines.proposers.proposer import Kind

if TYPE_CHECKING:
    from unidet.models.rtdetr.network import RTDETR


def build(settings: RTDETRConfig, classes: int, is_trained: bool) -> RTDETR:
    """Class-agnostic with one class."""
    from unidet.models.rtdetr.network import RTDETR

    return RTDETR(settings, classes=max(classes, 1))


KIND = Kind(
    build=build,
    class_arrays=(
        "decoder.enc_score_head.*",
        "decoder.dec_score_head.*",
        "decoder.denoising_class_embed.weight",
    ),
)
