"""Stage `clip`: what is refused before it trains."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.engine import run


def test_a_world_of_fewer_crops_than_a_step_takes_is_one_line(tiny: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"clip\.training\.batch_size: a step takes 5000 different"):
        run(tiny("stage=clip", "clip.training.batch_size=5000"))
