"""The settings that the published studies compose: a trace builds its network from them."""

from __future__ import annotations

from typing import TypeVar

from unidet.config.compose import compose
from unidet.config.networks import ClassifierConfig
from unidet.config.stages import EndToEndConfig

Settings = TypeVar("Settings")


def proposer_settings(page: str, kind: type[Settings]) -> Settings:
    """Those of the network in `conf/rpn/PAGE.yaml`."""
    network = compose([f"rpn={page}"]).rpn.network
    assert isinstance(network, kind)
    return network


def classifier_settings(page: str) -> ClassifierConfig:
    """Those of the network in `conf/roi/PAGE.yaml`."""
    return compose([f"roi={page}"]).roi.network


def end_to_end_settings(page: str) -> EndToEndConfig:
    """Those of `conf/end2end/PAGE.yaml`."""
    settings = compose([f"end2end={page}"]).end2end
    assert isinstance(settings, EndToEndConfig)
    return settings
