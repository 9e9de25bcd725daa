"""Which code a stage's key holds: what its network runs, and nothing of the others.

A module that is added here is one whose edit makes that stage run anew.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unidet.config.compose import compose
from unidet.pipelines.engine.graph import STAGES
from unidet.pipelines.engine.keys import modules_of
from unidet.pipelines.engine.node import Node
from unidet.store.store import Store

Reached = Callable[..., set[str]]

LAYERS = {"layers", "inference", "folded"}
LOCALIZATION = LAYERS | {
    *("box_head", "dense_output", "fpn", "localization_network"),
    *("region_samples", "sampled_rows"),
}
CLN = LOCALIZATION | {"oln_head", "oln_targets"}
PLAIN_RPN = LOCALIZATION | {"rpn_head", "rpn_targets"}
NANODET_PLUS = LAYERS | {
    f"nanodet_plus.{part}"
    for part in (
        *("assigner", "backbone", "conv_blocks", "criterion", "detector", "ghost_pan", "heads"),
        "predictions",
    )
}
RTDETR = (
    LAYERS
    | {"resnet", "matcher", "set_prediction", "transformer_layers"}
    | {
        f"rtdetr.{part}"
        for part in (
            *(
                "criterion",
                "decoder",
                "decoder_layer",
                "denoising",
                "encoder",
                "conv_blocks",
                "network",
            ),
        )
    }
)
DETR = (
    LAYERS
    | {"resnet", "matcher", "set_prediction", "transformer_layers"}
    | {f"detr.{part}" for part in ("criterion", "network", "positions", "transformer")}
)
ROI = LAYERS | {"federated_classes", "roi_classifier", "roi_samples", "text_classifier"}

END_TO_END = ROI | {
    *("dense_output", "end2end", "rpn_head", "rpn_targets", "sampled_rows"),
    *("clip.attention_pool", "resnet"),
}

SETS = {
    f"wiring.{part}" for part in ("image_batches", "image_sets", "study_networks", "study_sets")
}
TRAINING = SETS | {
    *("wiring.precision", "wiring.seeding", "wiring.starting_weights", "wiring.training")
}
RPN = TRAINING | {"proposers.outputs", "proposers.proposer", "proposers.start", "stages.rpn"}

READING = {
    *("load", "numpy_pickles", "pickle_bounds", "pickles", "placeholders", "read"),
    *("stand_ins", "zips"),
    *("other_files", "read_safetensors", "storage", "wrappers"),
}
"""Of packages that hold what a checkpoint of ours needs."""


@pytest.fixture
def reached(tmp_path_factory: pytest.TempPathFactory) -> Reached:
    store = Store(tmp_path_factory.mktemp("store"))

    def below(package: str, stage: str, *overrides: str) -> set[str]:
        """The modules of `unidet.PACKAGE` in the key of a stage, packages themselves left out."""
        modules = modules_of(Node(stage), compose(overrides), store)
        inside = {name for name in modules if name.startswith(f"unidet.{package}.")}
        parents = {name.rpartition(".")[0] for name in modules}
        return {name.removeprefix(f"unidet.{package}.") for name in inside - parents}

    return below


@pytest.mark.parametrize(
    ("page", "kind", "models"),
    [
        ("toy", "cln", CLN | {"resnet"}),
        ("bench", "cln", CLN | {"efficientnet"}),
        ("cln_r50_fpn", "cln", CLN | {"resnet"}),
        ("rpn_r50_fpn", "rpn", PLAIN_RPN | {"resnet"}),
        ("toy_rpn", "rpn", PLAIN_RPN | {"resnet"}),
        ("bench_rpn", "rpn", PLAIN_RPN | {"efficientnet"}),
        ("nanodet_plus_m_416", "nanodet_plus", NANODET_PLUS),
        ("nanodet_plus_m_1_5x_416", "nanodet_plus", NANODET_PLUS),
        ("rtdetr_r18vd", "rtdetr", RTDETR),
        ("rtdetr_r50vd", "rtdetr", RTDETR),
        ("detr_r50", "detr", DETR),
    ],
)
def test_a_proposer_holds_its_own_network(
    page: str, kind: str, models: set[str], reached: Reached
) -> None:
    overrides = (f"rpn={page}", "rpn.weights=''")
    for stage in ("rpn", "proposals", "proposer_study", "coco_eval"):
        assert reached("models", stage, *overrides) == models
        proposers = {f"proposers.{part}" for part in (kind, "outputs", "proposer")}
        inside = {name for name in reached("pipelines", stage, *overrides) if "proposers." in name}
        assert inside - {"proposers.start"} == proposers
    parts = {"wiring.backbones", "wiring.localization"} if kind in ("cln", "rpn") else set()
    package = {"wiring.imagenet_package"} if page.startswith("bench") else set()
    expected = RPN | parts | package | {f"proposers.{kind}"}
    assert reached("pipelines", "rpn", *overrides) == expected
    prefixes = {"prefixes"} if parts else set()
    assert reached("weights", "rpn", *overrides) == READING | prefixes | {"write"}
    assert reached("weights", "proposals", *overrides) == READING | prefixes


@pytest.mark.parametrize(
    ("page", "models", "start"),
    [
        ("toy", {"clip.attention_pool", "resnet"}, set()),
        ("bench", {"efficientnet", "mean_pool"}, {"wiring.imagenet_package"}),
        ("clip_r50_c4", {"clip.attention_pool", "resnet"}, set()),
    ],
)
def test_roi_holds_its_own_network(
    page: str, models: set[str], start: set[str], reached: Reached
) -> None:
    overrides = (f"roi={page}", "roi.weights=''")
    assert (
        reached("models", "roi", *overrides)
        == reached("models", "lvis_raw", *overrides)
        == (ROI | models)
    )
    expected = TRAINING | {f"wiring.{name}" for name in ("backbones", "classifier", "region_parts")}
    expected |= {
        "wiring.read_proposals",
        "wiring.training_names",
        "wiring.training_proposals",
        "wiring.embedding_artefacts",
        "engine.shards",
        "stages.roi",
    }
    assert reached("pipelines", "roi", *overrides) == expected | start
    assert reached("weights", "roi", *overrides) == READING | {"prefixes", "write"}
    for package in ("evaluation", "report"):
        assert reached(package, "roi", *overrides) == set()


def test_an_end_to_end_study_holds_its_one_network(reached: Reached) -> None:
    for stage in ("end2end", "proposals", "lvis_raw"):
        assert reached("models", stage, "experiment=toy_end2end") == END_TO_END, stage
        assert reached("models", stage, "experiment=toy") & {"end2end"} == set(), stage


def test_the_toy_clip_holds_no_other_backbone_and_no_layout(reached: Reached) -> None:
    clip = {"attention_pool", "contrastive", "crop_encoder", "text", "tokenizer"}
    expected = {f"clip.{part}" for part in clip} | LAYERS | {"resnet", "transformer_layers"}
    assert reached("models", "clip") == expected
    assert reached("weights", "clip") == READING | {"prefixes", "write"}


@pytest.mark.parametrize(
    ("stage", "override"),
    [
        ("rpn", "rpn.weights=a.pth"),
        ("roi", "roi.weights=a.pth"),
        ("clip", "clip=openai_rn50"),
    ],
)
def test_layouts_are_held_where_a_file_is_given(
    stage: str, override: str, reached: Reached
) -> None:
    assert "layouts.registry" in reached("weights", stage, override)
    assert "layouts.registry" not in reached("weights", stage)


def test_proposals_of_others_hold_no_network(reached: Reached) -> None:
    assert reached("models", "proposals", "+proposals.files={toy_val: a.pkl}") == set()


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_holds_verbs_or_traces(stage: str, reached: Reached) -> None:
    inside = reached("pipelines", stage)
    assert not {name for name in inside if name.startswith(("verbs.", "traces."))}
