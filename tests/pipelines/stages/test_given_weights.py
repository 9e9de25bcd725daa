"""Networks that are given and not trained: what of the data their stages take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.engine.graph import inputs_of, needed
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.wiring.study_sets import VOCABULARY

GIVEN = ("rpn.training=null", "rpn.weights=S1.pth", "roi.training=null", "roi.weights=S2.pth")


@pytest.mark.parametrize("stage", ["rpn", "roi", "clip"])
@pytest.mark.parametrize("experiment", ["coco_o365", "toy"])
def test_no_data_are_needed(experiment: str, stage: str) -> None:
    config = compose([f"experiment={experiment}", "clip=openai_rn50", *GIVEN])
    assert needed(stage, config) == [Node(stage)]


def test_fixed_classes_are_named_by_the_first_training_set() -> None:
    closed = ("experiment=coco_o365", "rpn=detr_r50", "rpn.classes=category_ids", *GIVEN)
    first = Node("data", "training/coco")
    config = compose(closed)
    assert inputs_of(Node("rpn"), config) == {str(first): Input(first, VOCABULARY)}
    without = replace(config, data=replace(config.data, training={}))
    with pytest.raises(UserError, match=r"rpn\.classes: category_ids takes the categories of"):
        inputs_of(Node("rpn"), without)


def test_a_network_that_is_trained_takes_all_training_sets() -> None:
    config = compose(["experiment=coco_o365"])
    assert list(inputs_of(Node("rpn"), config)) == [
        "data[training/coco]",
        "data[training/objects365]",
    ]
