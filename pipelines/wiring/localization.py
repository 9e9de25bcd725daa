"""The class-agnostic localization networks: their parts, and what the backbone starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unidet.config.networks import LocalizationConfig
from unidet.errors import UserError
from unidet.pipelines.wiring import backbones
from unidet.pipelines.wiring.backbones import build_backbone

if TYPE_CHECKING:
    from unidet.models.localization_network import DenseStage, LocalizationNetwork

Settings = TypeVar("Settings", bound=Any)  # a LocalizationConfig with its kind


def build_localization(
    settings: Settings, classes: int, dense_stage: Callable[[Settings, tuple[int, ...]], DenseStage]
) -> LocalizationNetwork:
    """Backbone, pyramid, the proposal head that `dense_stage` builds of the settings and the
    pyramid's strides, and box head.

    Raises:
        UserError: it is asked to tell classes apart.
    """
    if classes:
        raise UserError(
            f"rpn.classes: a network of kind {settings.kind} knows no classes; agnostic is the "
            "only choice"
        )
    from unidet.models.box_head import BoxHead
    from unidet.models.fpn import FPN
    from unidet.models.localization_network import LocalizationNetwork

    backbone = build_backbone(settings.backbone, settings.outputs)
    strides = tuple(backbone.strides_out[0] * 2**level for level in range(settings.levels))
    return LocalizationNetwork(
        backbone,
        FPN(backbone.channels, settings.channels, settings.levels),
        dense_stage(settings, strides),
        BoxHead(settings, strides[: settings.region_levels]),
        settings,
    )


def initialize(
    network: LocalizationNetwork, settings: LocalizationConfig, inputs: Mapping[str, Path]
) -> None:
    """The backbone's starting weights: CLIP's image side, or the package's of ImageNet."""
    from unidet.weights.load import load_into, stored_weights
    from unidet.weights.prefixes import below, under

    if settings.initialize == "clip":
        with stored_weights(backbones.clip_weights(inputs["clip"])) as arrays:
            last = under("layer4.", below("shared_layer.", arrays))
            load_into(network.backbone, below("backbone.", arrays) | last)
    elif settings.initialize == "package":
        backbones.imagenet_package().load_backbone(network.backbone)


def inputs(settings: LocalizationConfig) -> tuple[str, ...]:
    """Stages whose artefacts the start needs."""
    return backbones.inputs(settings.initialize)


def files(settings: LocalizationConfig) -> dict[str, Path]:
    """Files outside the store that the start needs."""
    return backbones.files(settings.initialize)


def code_of(settings: LocalizationConfig) -> tuple[str, ...]:
    """Modules that the settings choose."""
    return backbones.code_of(settings.backbone, settings.initialize)
