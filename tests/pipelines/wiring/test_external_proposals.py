"""Which file holds the proposals of which data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.wiring.external_proposals import FILE, starting_files

Make = Callable[..., Config]


@pytest.fixture
def alike(tiny: Make, tmp_path: Path) -> Make:
    """The toy study with an evaluation set that is called as a training set is."""
    for name in ("gt.json", "train_a", "train_b", "val", "eval_a"):
        (tmp_path / name).touch()
    extra = {"annotations": "gt.json", "images": ".", "vocabulary": "toy_val", "style": "lvis"}
    return lambda *more: tiny(
        f"data.root={tmp_path}",
        "data.dev_scenes=0",
        *(f"+data.evaluation.a.{key}={value}" for key, value in extra.items()),
        *more,
    )


def test_a_training_and_an_evaluation_set_of_one_name(alike: Make, tmp_path: Path) -> None:
    config = alike("proposals.files={training/a: train_a, a: eval_a, b: train_b, val: val}")
    places = {
        name: starting_files(config, name)[FILE].name
        for name in (*("training/a", "training/b", "a", "val"),)
    }
    assert places == {"training/a": "train_a", "training/b": "train_b", "a": "eval_a", "val": "val"}


def test_one_file_does_not_stand_for_both(alike: Make) -> None:
    config = alike("proposals.files={a: eval_a, b: train_b, val: val}")
    with pytest.raises(UserError, match=r"each of training/a, b, val, a; nothing for training/a$"):
        starting_files(config, "a")
