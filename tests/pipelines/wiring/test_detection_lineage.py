"""`detect` takes networks of one lineage, on stages that do almost nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from studies import built

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.wiring import zero_shot_detector

Make = Callable[..., Config]
READY = "clip_embeddings=bench"  # so that no text encoder is asked for


def test_the_proposal_network_is_the_one_that_the_roi_head_was_trained_on(
    tiny: Make, code: dict[str, str]
) -> None:
    done = built(tiny("stage=roi", "seed=1", READY))
    newer = built(tiny("stage=rpn", "seed=2", READY))  # of the same settings, on other data
    folders = zero_shot_detector._lineage(tiny(READY))
    assert folders == {"rpn": done["rpn"].folder, "roi": done["roi"].folder}
    assert folders["rpn"] != newer["rpn"].folder


def test_networks_of_other_settings_are_not_taken(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi", "rpn.network.alpha=0.9", READY))
    with pytest.raises(UserError, match="nothing trained for experiment 'toy'"):
        zero_shot_detector._lineage(tiny(READY))
