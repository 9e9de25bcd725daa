"""Settings of networks for regions that do not fit each other are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networks
import pytest

from unidet.backend.runtime import bring_up
from unidet.errors import UserError
from unidet.pipelines.traces.published_settings import end_to_end_settings
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.pipelines.wiring.end_to_end import build_end_to_end

bring_up()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool_size": 5}, "pool_size: is 5; must be a multiple of 2"),
        ({"pool_size": 1}, "pool_size: is 1; must be a multiple of 2"),
        ({"pool": "attention", "heads": 3}, "heads: is 3; must divide 64 channels"),
    ],
)
def test_a_region_that_its_layers_do_not_divide(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build_classifier(networks.small_classifier(**changes))
    assert str(caught.value).startswith(message)


def test_the_heads_of_a_mean_pool_are_not_used() -> None:
    build_classifier(networks.small_classifier(pool="mean", heads=3))


def test_a_proposal_head_for_another_map() -> None:
    settings = replace(
        end_to_end_settings("clip_r50_c4"),
        network=networks.small_classifier(),
        rpn_head=networks.small_rpn_head(channels=64),
    )
    with pytest.raises(UserError, match=r"end2end.rpn_head.channels: is 64; must be 32,"):
        build_end_to_end(settings)
    build_end_to_end(replace(settings, rpn_head=networks.small_rpn_head()))
