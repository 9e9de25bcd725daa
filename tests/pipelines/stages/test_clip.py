"""Stage `clip`: what is refused before it trains."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unidet.cli import compose
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.engine import run


def test_a_world_of_fewer_crops_than_a_step_takes_is_one_line(tiny: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"clip\.training\.batch_size: a step takes 5000 different"):
        run(tiny("stage=clip", "clip.training.batch_size=5000"))


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("none", r"no CLIP network \(clip\.kind=none\)"),
        ("toy", r"clip\.kind=train learns .* alone"),
    ],
)
def test_a_study_of_real_images_has_no_crops_to_learn_from(kind: str, problem: str) -> None:
    config = compose(["stage=clip", "experiment=bench", "data.root=.", f"clip={kind}"])
    with pytest.raises(UserError, match=f"clip: .*{problem}.*give clip=openai_rn50"):
        run(config)
