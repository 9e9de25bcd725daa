"""The class-agnostic localisation network as a proposer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.config.networks import CLNConfig
from unidet.errors import UserError
from unidet.pipelines.proposers.proposer import Kind
from unidet.pipelines.wiring import backbones
from unidet.pipelines.wiring.backbones import build_backbone
from unidet.weights.prefixes import below, under

if TYPE_CHECKING:
    from unidet.models.cln import CLN


def build(settings: CLNConfig, classes: int, is_trained: bool) -> CLN:
    """Backbone, pyramid, proposal head and box head.

    Raises:
        UserError: it is asked to tell classes apart.
    """
    if classes:
        raise UserError("rpn.classes: a CLN knows no classes; agnostic is the only choice")
    from unidet.models.box_head import BoxHead
    from unidet.models.cln import CLN
    from unidet.models.fpn import FPN
    from unidet.models.rpn_head import RPNHead

    backbone = build_backbone(settings.backbone, settings.outputs)
    strides = tuple(backbone.strides_out[0] * 2**level for level in range(settings.levels))
    return CLN(
        backbone,
        FPN(backbone.channels, settings.channels, settings.levels),
        RPNHead(settings, strides),
        BoxHead(settings, strides[: settings.region_levels]),
        settings,
    )


def initialize(network: CLN, settings: CLNConfig, inputs: Mapping[str, Path]) -> None:
    """The backbone's starting weights: CLIP's image side, or the package's of ImageNet."""
    from unidet.weights.load import load_into

    if settings.initialize == "clip":
        arrays = backbones.clip_arrays(inputs["clip"])
        last = under("layer4.", below("shared_layer.", arrays))
        load_into(network.backbone, below("backbone.", arrays) | last)
    elif settings.initialize == "package":
        backbones.imagenet_package().load_backbone(network.backbone)


KIND = Kind(
    build=build,
    initialize=initialize,
    inputs=lambda settings: backbones.inputs(settings.initialize),
    files=lambda settings: backbones.files(settings.initialize),
    code=lambda settings: backbones.code_of(settings.backbone, settings.initialize),
)
