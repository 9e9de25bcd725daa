"""The class-agnostic localization network as a proposer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unidet.config.networks import CLNConfig
from unidet.pipelines.proposers.proposer import Kind
from unidet.pipelines.wiring import localization

if TYPE_CHECKING:
    from unidet.models.localization_network import LocalizationNetwork


def build(settings: CLNConfig, classes: int, is_trained: bool) -> LocalizationNetwork:
    """With OLN's proposal head. Raises UserError as `build_localization`."""
    from unidet.models.oln_head import OLNHead

    return localization.build_localization(settings, classes, OLNHead)


KIND = Kind(
    build=build,
    initialize=localization.initialize,
    inputs=localization.inputs,
    files=localization.files,
    code=localization.code_of,
)
