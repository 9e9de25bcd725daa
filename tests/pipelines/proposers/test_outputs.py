"""What a proposal network's outputs stand for, and the labels that it is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from batches import make_batch

from unidet.config.compose import compose
from unidet.config.stages import RpnConfig
from unidet.errors import UserError
from unidet.pipelines.proposers import outputs
from unidet.pipelines.wiring.image_sets import ImageSet
from unidet.records import Category, Split


def image_set(name: str, ids: Sequence[int]) -> ImageSet:
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
        categories=tuple(Category(number, f"{name}{place}") for place, number in enumerate(ids)),
    )
    return ImageSet(name, split, images=None, folder=Path())  # type: ignore[arg-type]


def outputs_of(config: RpnConfig, training: list[ImageSet]) -> outputs.Outputs:
    return outputs.outputs(config, training[0].name, training[0].split.categories)


SETS = [image_set("a", range(3)), image_set("b", range(2))]
GAPS = [image_set("g", (3, 4, 7))]


def test_an_agnostic_network_learns_from_every_dataset_and_knows_nothing() -> None:
    config = compose([]).rpn
    assert outputs.datasets_of(config, SETS) == SETS
    assert outputs_of(config, SETS) == ()


def test_a_closed_set_network_learns_the_first_dataset() -> None:
    config = compose(["rpn=nanodet_plus_m_416", "rpn.classes=dataset"]).rpn
    assert outputs.datasets_of(config, SETS) == SETS[:1]
    assert [output and output.name for output in outputs_of(config, SETS)] == [
        "a0",
        "a1",
        "a2",
    ]
    assert labels_seen(config, SETS) == [[2, 0], []]


def test_outputs_numbered_by_category_id() -> None:
    """Ids 3, 4 and 7 make eight outputs, of which five stand for nothing."""
    config = compose(["rpn=detr_r50", "rpn.classes=category_ids"]).rpn
    assert outputs.datasets_of(config, GAPS) == GAPS
    numbered = outputs_of(config, GAPS)
    assert [output and output.name for output in numbered] == [
        *(None, None, None, "g0", "g1", None, None, "g2")
    ]
    assert labels_seen(config, GAPS) == [[7, 3], []]


@pytest.mark.parametrize("ids", [(-1, 2), (1, 10_000)])
def test_ids_that_number_no_outputs(ids: tuple[int, ...]) -> None:
    config = compose(["rpn=detr_r50", "rpn.classes=category_ids"]).rpn
    complaint = rf"rpn\.classes: s has category ids from {ids[0]} to {ids[1]}; .* 0 to 9,999"
    with pytest.raises(UserError, match=complaint):
        outputs_of(config, [image_set("s", ids)])


def test_every_box_is_an_object_to_an_agnostic_network() -> None:
    assert labels_seen(compose([]).rpn, SETS) == [[0, 0], []]


def labels_seen(config: RpnConfig, training: list[ImageSet]) -> list[list[int]]:
    """Labels that a network's loss gets for boxes of categories 2 and 0, and for none."""
    batch = make_batch((4, 4), [np.zeros((2, 4)), []], [[2, 0], []])
    loss = outputs.loss_of(config, training, lambda batch, rng: batch.labels)
    seen = loss(batch, np.random.default_rng(0))
    assert batch.labels[0].tolist() == [2, 0]
    return [labels.tolist() for labels in seen]


def test_known_outputs_travel_with_the_weights(tmp_path: Path) -> None:
    outputs.save_outputs(tmp_path, (*SETS[1].split.categories, None))
    assert outputs.known_outputs(tmp_path) == [
        {"id": 0, "name": "b0"},
        {"id": 1, "name": "b1"},
        None,
    ]
