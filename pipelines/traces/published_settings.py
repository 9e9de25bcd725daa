"""The settings that the published studies compose: a trace builds its network from them."""

from __future__ import annotations

from typing import TypeVar

from unidet.config.compose import compose
from unidet.config.networks import ClassifierConfig

Settings = TypeVar("Settings")


def proposer_settings(page: str, kind: type[Settings]) -> Settings:
    """Those of the network in `conf/rpn/PAGE.yaml`."""
    network = compose([f"rpn={page}"]).rpn.network
    assert isinstance(network, kind)
    return network


def classifier_settings(page: str) -> ClassifierConfig:
    """Those of the network in `conf/roi/PAGE.yaml`."""
    return compose([f"roi={page}"]).roi.network
