"""An end-to-end study of the tiny toy world: one network, which all that follows takes."""

from __future__ import annotations

import numpy as np
import pytest
from detected import evaluated_rows, pictures_of, rows
from stage_pages import departures
from studies import built, state_of

from unidet.config.compose import compose
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.detector.model import Model, load
from unidet.pipelines.detector.opened_study import Study, open_study
from unidet.pipelines.detector.options import Options
from unidet.pipelines.engine.graph import all_nodes, needed, targets
from unidet.pipelines.engine.node import Node

TINY = ("experiment=toy_end2end", "end2end.training.steps=3", "end2end.training.batch_size=2")
ALL = Options(threshold=0, top_k=300, multi_label=True)


@pytest.fixture(scope="module")
def config(overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Of a study that has run to its report, on its evaluation set `val` alone."""
    root = tmp_path_factory.mktemp("study") / "store"
    values = ("stage=report", "data.dev_scenes=0", f"store.root={root}")
    config = compose([*overrides, *TINY, *values])
    built(config)
    return config


@pytest.fixture(scope="module")
def study(config: Config) -> Study:
    return open_study(config.store.root)


@pytest.fixture(scope="module")
def pictures(study: Study) -> list[np.ndarray]:
    return pictures_of(study, "val")


def test_artefacts_are_what_the_pages_of_the_stages_say(study: Study) -> None:
    actions = study.lineage.actions
    stages = {action.stage for action in actions.values()}
    assert stages >= {
        "end2end",
        "proposals",
        "lvis_raw",
        "lvis_eval",
        "calibration_sweep",
        "report",
    }
    assert stages & {"rpn", "roi"} == set()
    for label, action in actions.items():
        assert departures(action.stage, label, study.lineage.folder(label)) == []


def test_an_option_of_scores_runs_no_network(config: Config, overrides: tuple[str, ...]) -> None:
    values = ("stage=lvis_eval", "data.dev_scenes=0", f"store.root={config.store.root}")
    scored = ("calibration.beta=0.4", "calibration.gamma=0.3")
    assert (config.calibration.beta, config.calibration.gamma) == (1.0, 0.0)
    states = state_of(compose([*overrides, *TINY, *values, *scored]))
    assert states.pop("lvis_eval[val]") == "stale"
    assert set(states.values()) == {"fresh"}


def test_detections_are_those_of_the_evaluation(
    config: Config, study: Study, pictures: list[np.ndarray]
) -> None:
    """`detect` runs the network once, stages twice: they keep boxes in the image's own pixels."""
    names = [category.name for category in study.images("val").split.categories]
    evaluated = list(evaluated_rows(study, "val"))
    assert sum(map(len, evaluated)) > 100
    detected = load(config.store.root).stream(pictures, names, ALL)
    for expected, detections in zip(evaluated, detected, strict=True):
        np.testing.assert_allclose(rows(detections), expected, rtol=1e-3, atol=2e-2)


def test_weights_alone_find_the_same(study: Study, pictures: list[np.ndarray]) -> None:
    folder = study.lineage.folder
    files = {
        "weights": folder("end2end") / "model.safetensors",
        "embeddings": folder("clip_embeddings[toy_val]") / "embeddings.npz",
    }
    alone = load(**files, overrides=["experiment=toy_end2end", "end2end=toy"])
    model = load(study.lineage.store.root)
    names = study.embeddings("toy_val").index.tolist()
    pairs = zip(alone.stream(pictures, None, ALL), model.stream(pictures, names, ALL), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(rows(one), rows(other), rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="proposes by itself"):
        load(
            **files,
            proposals_weights=files["weights"],
            overrides=["experiment=toy_end2end", "end2end=toy", "rpn=toy"],
        )


def test_proposals_and_embeddings_of_a_picture(study: Study, pictures: list[np.ndarray]) -> None:
    model: Model = load(study.lineage.store.root)
    proposals = model.proposals(pictures[0])
    dumped = study.proposals("val")
    first = dumped[dumped["image_id"] == study.images("val").split.image_ids[0]]
    np.testing.assert_allclose(proposals[:, 4], first["score"], rtol=1e-5)
    assert model.embed(pictures[0], proposals[:2, :4]).shape == (2, 128)
    assert len(study.search("ring", "val", top=3)) == 3


# --- the graph, without running it ---------------------------------------------------------------


@pytest.mark.parametrize("stage", ["rpn", "roi"])
def test_stages_that_it_stands_for_say_so(stage: str) -> None:
    with pytest.raises(
        UserError, match=rf"^{stage}: an end-to-end study has one network, which st"
    ):
        targets(stage, compose(["experiment=toy_end2end"]))
    with pytest.raises(UserError, match=r"^end2end: proposals and names have a network each"):
        targets("end2end", compose(["experiment=toy"]))


def test_training_proposals_are_not_needed() -> None:
    config = compose(["experiment=toy_end2end"])
    nodes = needed("report", config)
    assert [node.name for node in nodes if node.stage == "proposals"] == ["val", "dev"]
    assert nodes.index(Node("end2end")) < nodes.index(Node("proposals", "val"))


def test_one_label_space_alone() -> None:
    nodes = all_nodes(compose(["experiment=toy_only"]))
    assert Node("data", "training/a") in nodes
    assert Node("data", "training/b") not in nodes
    assert Node("roi") in nodes
