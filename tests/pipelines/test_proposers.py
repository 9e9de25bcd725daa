"""Choosing, teaching and opening proposal networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.cli import compose
from unidet.errors import UserError
from unidet.pipelines import proposers
from unidet.pipelines.datasets import ImageSet
from unidet.records import Batch, Category, Split


def image_set(name: str, count: int) -> ImageSet:
    nothing = np.zeros(0, np.int32)
    split = Split(
        name=name,
        image_ids=np.zeros(0, np.int64),
        file_names=(),
        widths=nothing,
        heights=nothing,
        box_image=nothing,
        boxes_xyxy=np.zeros((0, 4), np.float32),
        labels=nothing,
        is_crowd=np.zeros(0, bool),
        categories=tuple(Category(number, f"{name}{number}") for number in range(count)),
    )
    return ImageSet(name, split, images=None)  # type: ignore[arg-type]


SETS = [image_set("a", 3), image_set("b", 2)]


def test_an_agnostic_network_learns_from_every_dataset_and_knows_nothing() -> None:
    config = compose([]).rpn
    assert proposers.taught(config, SETS) == SETS
    assert proposers.categories(config, SETS) == ()


def test_a_closed_set_network_learns_the_first_dataset() -> None:
    config = compose(["rpn=nanodet_plus_m_416", "rpn.classes=dataset"]).rpn
    assert proposers.taught(config, SETS) == SETS[:1]
    assert [one.name for one in proposers.categories(config, SETS)] == ["a0", "a1", "a2"]


def test_every_box_is_an_object_to_an_agnostic_network() -> None:
    batch = Batch(
        images_NCHW=np.zeros((2, 3, 4, 4), np.float32),
        sizes_N2=np.array([[4, 4], [4, 4]]),
        scales_N4=np.ones((2, 4), np.float32),
        flips_N2=np.zeros((2, 2), bool),
        boxes=[np.zeros((2, 4), np.float32), np.zeros((0, 4), np.float32)],
        labels=[np.array([5, 7]), np.zeros(0, np.int32)],
        dataset_ids=np.zeros(2, np.int32),
        image_rows=np.arange(2),
    )
    loss = proposers.agnostic(lambda batch, rng: [x.tolist() for x in batch.labels])
    assert loss(batch, np.random.default_rng(0)) == [[0, 0], []]
    assert batch.labels[0].tolist() == [5, 7]


def test_a_cln_knows_no_classes() -> None:
    with pytest.raises(UserError, match=r"rpn\.classes: a CLN knows no classes"):
        proposers.build_proposer(compose([]).rpn, 3)


def test_known_categories_travel_with_the_weights(tmp_path: Path) -> None:
    proposers.save_categories(tmp_path, SETS[1].split.categories)
    assert proposers.known_categories(tmp_path) == [
        {"id": 0, "name": "b0"},
        {"id": 1, "name": "b1"},
    ]


def test_both_files_of_an_ncnn_network_enter_the_key(tmp_path: Path) -> None:
    overrides = ["rpn.weights=net.param", f"data.root={tmp_path}"]
    with pytest.raises(UserError, match=r"rpn.weights: .*net.param is not there"):
        proposers.starting_files(compose(overrides))
    (tmp_path / "net.param").touch()
    with pytest.raises(UserError, match=r"rpn.weights: .*net.bin is not there"):
        proposers.starting_files(compose(overrides))
    (tmp_path / "net.bin").touch()
    assert set(proposers.starting_files(compose(overrides))) == {"weights", "weights.bin"}
