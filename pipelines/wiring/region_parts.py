"""What turns a region into an embedding: the parts that the RoI network and CLIP's crops share."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from unidet.config.networks import BackboneConfig, ClassifierConfig
from unidet.config.stages import TrainedClip
from unidet.errors import UserError
from unidet.pipelines.wiring.backbones import Initialize, build_backbone, build_last_layer
from unidet.pipelines.wiring.backbones import code_of as backbone_code

if TYPE_CHECKING:
    from jittor import nn

    from unidet.pipelines.wiring.backbones import Backbone

Pool = Literal["attention", "mean"]
POOLS = {"attention": "unidet.models.clip.attention_pool", "mean": "unidet.models.mean_pool"}


@dataclass(frozen=True)
class RegionParts:
    """Backbone to C4, last layer for regions, pool, and the stride of C4."""

    backbone: Backbone
    shared_layer: nn.Module
    pool: nn.Module
    stride: int


def build_region_parts(
    backbone: BackboneConfig, pool: Pool, settings: ClassifierConfig | TrainedClip
) -> RegionParts:
    """Parts for regions of `settings.pool_size` cells a side on C4.

    Raises:
        UserError: the last layer does not divide those cells, or the heads not its channels.
    """
    trunk = build_backbone(backbone, (3,))
    last = build_last_layer(backbone)
    if settings.pool_size % last.stride:
        raise UserError(
            f"pool_size: is {settings.pool_size}; must be a multiple of {last.stride}, the stride "
            "of the backbone's last layer, which would leave out the last cells of every region"
        )
    if pool == "attention" and last.channels % settings.heads:
        raise UserError(f"heads: is {settings.heads}; must divide {last.channels} channels")
    module = import_module(POOLS[pool])
    pooling = (
        module.AttentionPool(
            size=settings.pool_size // last.stride,
            channels=last.channels,
            heads=settings.heads,
            embedding=settings.embedding,
        )
        if pool == "attention"
        else module.MeanPool(last.channels, settings.embedding)
    )
    return RegionParts(trunk, last.layer, pooling, trunk.strides_out[0])


def code_of(backbone: BackboneConfig, initialize: Initialize, pool: Pool) -> tuple[str, ...]:
    """The modules that hold the parts' code: roots of a stage's code closure."""
    return (*backbone_code(backbone, initialize), POOLS[pool])
