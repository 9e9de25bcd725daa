"""A study without text: which artefacts it has, and what its report needs."""

from __future__ import annotations

import pytest

from unidet.cli import compose
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.graph import all_nodes, needed, targets

SETS = (
    "data.training.own={annotations: train.json, images: /photos, vocabulary: own}",
    "data.evaluation.own={annotations: val.json, images: /photos, vocabulary: own, style: coco}",
)


def config(*overrides: str) -> Config:
    return compose(["experiment=closed_set", *SETS, *overrides])


def test_the_report_needs_a_detector_and_nothing_that_reads_text() -> None:
    nodes = [str(node) for node in needed("report", config())]
    assert nodes == [*("data[training/own]", "data[own]", "rpn", "coco_eval[own]", "report")]


def test_stages_that_score_names_have_no_artefacts() -> None:
    stages = {node.stage for node in all_nodes(config())}
    assert stages.isdisjoint(
        ["clip_embeddings", "roi", "lvis_raw", "lvis_eval", "calibration_sweep"]
    )


@pytest.mark.parametrize(
    "stage", ["clip_embeddings", "roi", "lvis_raw", "lvis_eval", "calibration_sweep"]
)
def test_asked_for_them_it_says_what_there_is(stage: str) -> None:
    with pytest.raises(
        UserError, match=f"{stage}: a closed-set study .* stage=coco_eval"
    ) as caught:
        targets(stage, config())
    assert "\n" not in str(caught.value)


def test_a_report_says_what_keeps_a_set_from_being_evaluated() -> None:
    with pytest.raises(UserError, match="report: no evaluation set of style coco has"):
        needed("report", config("data.evaluation.own.vocabulary=other"))


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("report", "finetune: it trains a RoI head, but a closed-set study "),
        ("coco_eval", "coco_eval: finetune.sets names all of data.training, and no other stage "),
    ],
)
def test_names_to_learn_later_are_not_said_to_be_none(stage: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        needed(stage, config("finetune=own", "finetune.sets=[own]"))
