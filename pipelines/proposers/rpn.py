"""A region proposal network, with the CLN's RoI head behind it, as a proposer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unidet.config.networks import RPNConfig
from unidet.pipelines.proposers.proposer import Kind
from unidet.pipelines.wiring import localization

if TYPE_CHECKING:
    from unidet.models.localization_network import LocalizationNetwork


def build(settings: RPNConfig, classes: int, is_trained: bool) -> LocalizationNetwork:
    """With Faster R-CNN's proposal head. Raises UserError as `build_localization`."""
    from unidet.models.rpn_head import RPNHead

    return localization.build_localization(settings, classes, RPNHead)


KIND = Kind(
    build=build,
    initialize=localization.initialize,
    inputs=localization.inputs,
    files=localization.files,
    code=localization.code_of,
)
