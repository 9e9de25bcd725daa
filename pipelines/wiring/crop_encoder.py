"""The image side of the CLIP that stage `clip` trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unidet.config.stages import TrainedClip
from unidet.pipelines.wiring import region_parts
from unidet.pipelines.wiring.region_parts import build_region_parts

if TYPE_CHECKING:
    from unidet.models.clip.crop_encoder import CropEncoder


def build_crop_encoder(settings: TrainedClip) -> CropEncoder:
    """With the parts and names of the RoI network."""
    from unidet.models.clip.crop_encoder import CropEncoder

    parts = build_region_parts(settings.image, "attention", settings)
    return CropEncoder(
        parts.backbone,
        parts.shared_layer,
        parts.pool,
        roi_size=settings.pool_size,
        stride=parts.stride,
    )


def code_of(settings: TrainedClip) -> tuple[str, ...]:
    """The modules that the settings choose: roots of a stage's code closure."""
    return region_parts.code_of(settings.image, "none", "attention")
