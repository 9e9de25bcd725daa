"""The end-to-end network, from its configuration or the artefact of stage `end2end`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.config.stages import EndToEndConfig
from unidet.errors import UserError
from unidet.pipelines.wiring import classifier
from unidet.pipelines.wiring.classifier import build_classifier, initialize_classifier

if TYPE_CHECKING:
    from unidet.models.end2end import EndToEnd


def build_end_to_end(settings: EndToEndConfig) -> EndToEnd:
    """The network, without vocabularies.

    Raises:
        UserError: the proposal head has other channels than the map, or as `build_region_parts`.
    """
    from unidet.models.end2end import EndToEnd
    from unidet.models.rpn_head import RPNHead

    regions = build_classifier(settings.network)
    channels, given = regions.backbone.channels[-1], settings.rpn_head.channels
    if given != channels:
        raise UserError(
            f"end2end.rpn_head.channels: is {given}; must be {channels}, the channels of the "
            "backbone's map"
        )
    return EndToEnd(regions, RPNHead(settings.rpn_head, (regions.stride,)), settings.rpn_head)


def open_end_to_end(settings: EndToEndConfig, folder: Path) -> EndToEnd:
    """The network with the weights of an `end2end` artefact, without vocabularies."""
    from unidet.weights.load import load_stored

    network = build_end_to_end(settings)
    load_stored(network, folder / "model.safetensors")
    return network


def initialize(network: EndToEnd, settings: EndToEndConfig, inputs: Mapping[str, Path]) -> None:
    """Give the image side its starting weights, as `network.initialize` says."""
    initialize_classifier(network.regions, settings.network, inputs)


def code_of(settings: EndToEndConfig) -> tuple[str, ...]:
    """The modules that the settings choose: roots of a stage's code closure."""
    return classifier.code_of(settings.network)
