"""The configuration's schema: what it refuses, and what enters a key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unidet.cli import compose
from unidet.config.fields import identity
from unidet.errors import UserError

CONF = Path(__file__).resolve().parents[1] / "conf"


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        compose(overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def options(group: str) -> list[str]:
    """What `group=` can be: the files of its folder."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


GROUPS = sorted(
    path.name for path in CONF.iterdir() if any(path.glob("*.yaml")) and path.name != "prepare"
)
"""`prepare/` holds no options of a study."""
CHOICES = [(group, option) for group in GROUPS for option in options(group)]


def test_the_folders_of_options_are_read() -> None:
    assert {("experiment", "toy"), ("rpn", "detr_r50_coco"), ("clip", "none")} <= set(CHOICES)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes(experiment: str) -> None:
    assert compose([f"experiment={experiment}"]).experiment == experiment


@pytest.mark.parametrize(
    ("group", "option"), [choice for choice in CHOICES if choice[0] != "experiment"]
)
def test_every_option_composes_in_the_toy_study(group: str, option: str) -> None:
    part = "data" if group == "suite" else group  # a suite is evaluation sets
    assert getattr(compose([f"{group}={option}"]), part) is not None


def test_a_misspelt_key_is_named_with_what_stands_there() -> None:
    message = refusal("rpn.network.chanels=3")
    assert "rpn.network.chanels" in message
    assert "did you mean 'channels'" in message


def test_a_misspelt_top_level_key_lists_the_subtrees() -> None:
    assert "calibration" in refusal("calibraton.gamma=1")


def test_a_key_below_a_value_is_refused() -> None:
    assert "seed" in refusal("seed.deep=1")


def test_an_unknown_experiment_lists_those_that_exist() -> None:
    message = refusal("experiment=tpy")
    assert "'tpy'" in message
    assert "toy" in message


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seed=abc", "seed"),
        ("seed=-1", "seed"),
        ("calibration.beta=1.5", "calibration.beta"),
        ("calibration.gamma=x", "calibration.gamma"),
        ("upstream=maybe", "upstream"),
        ("clip.training.steps=-1", "clip.training.steps"),
        ("clip.training.steps=0", "clip.training"),
        ("clip.training.epochs=2", "clip.training"),
        ("rpn.training.stpes=3", "rpn.training.stpes"),
        ("rpn.training.optimizer.no_decay=['(']", "rpn.training.optimizer.no_decay.0"),
        ("rpn.training.optimizer.lr=1e999", "rpn.training.optimizer.lr"),
        ("rpn.network.backbone.width=wide", "rpn.network.backbone.width"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(override: str, key: str) -> None:
    message = refusal(override)
    assert message.startswith(f"{key}: ")
    assert "Value error" not in message


def test_what_is_missing_is_named_with_what_may_stand_there() -> None:
    message = refusal("+data.evaluation.own={annotations: a.json, images: i, vocabulary: v}")
    assert message == "data.evaluation.own.style: must be given; it is one of lvis, coco"


def test_a_range_from_high_to_low_is_refused() -> None:
    key = "rpn.images.augmentation.scale"
    message = refusal("rpn=nanodet_plus_m_416", f"{key}=[1.4, 0.6]")
    assert message == f"{key}: a range is [from, to], got [1.4, 0.6]"
    key = "rpn.images.short_side"
    message = refusal("rpn=detr_r50", f"{key}=[800, 480]")
    assert message == f"{key}: a range is [from, to], got [800, 480]"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("outputs=[1,2,3]", ": the layers in outputs [1, 2, 3] have strides [4, 4, 8];"),
        ("outputs=[2,4]", ": the layers in outputs [2, 4] have strides [4, 16];"),
        (
            "backbone.strides=[1,1,3,2]",
            ": the layers in outputs [2, 3, 4] have strides [4, 12, 24]",
        ),
        ("outputs=[3,2]", ".outputs: must be layers from 1 to 4 in ascending order, got [3, 2]"),
        ("outputs=[2,3,5]", ".outputs: must be layers from 1 to 4"),
        ("outputs=[]", ".outputs: must be layers from 1 to 4"),
        ("levels=2", ": levels is 2, must be at least 3"),
        ("region_levels=4", ": region_levels is 4, of 3 levels"),
        ("backbone.frozen_stages=5", ": frozen_stages is 5, of 4 layers in use"),
    ],
)
def test_a_pyramid_whose_parts_do_not_fit(override: str, message: str) -> None:
    """Anchors and regions would be in the wrong places, or the network could not be built."""
    assert refusal(f"rpn.network.{override}").startswith(f"rpn.network{message}")


def test_anchors_that_would_be_positive_and_negative() -> None:
    key = "rpn.network.box_iou"
    assert refusal(f"{key}=[0.3,0.7]").startswith(f"{key}: the first IoU makes an anchor positive")
    assert compose([f"{key}=[0.5,0.5]"]).rpn.network.box_iou == (0.5, 0.5)


def test_a_pyramid_of_the_packages_backbone() -> None:
    message = refusal("rpn=bench", "rpn.network.outputs=[1,3]")
    assert "outputs [1, 3] have strides [4, 16]" in message


@pytest.mark.parametrize(
    ("group", "page", "divisor", "multiple"),
    [
        ("rpn", "rtdetr_r18vd", 48, 32),
        ("rpn", "bench", 16, 32),
        ("rpn", "toy", 8, 16),
        ("roi", "toy", 1, 8),
    ],
)
def test_sides_that_a_network_does_not_take(
    group: str, page: str, divisor: int, multiple: int
) -> None:
    message = refusal(f"{group}={page}", f"{group}.images.divisor={divisor}")
    assert message.startswith(
        f"{group}: images.divisor is {divisor}; must be a multiple of {multiple}, "
    )
    compose(["experiment=toy", f"{group}={page}", f"{group}.images.divisor={multiple}"])


def test_the_official_networks_take_any_side() -> None:
    for page in ("cln_r50_fpn", "nanodet_plus_m_416", "detr_r50"):
        compose(["experiment=toy", f"rpn={page}", "rpn.images.divisor=1"])


def test_the_layer_for_regions_is_not_frozen() -> None:
    for key in ("roi.network.backbone", "clip.image"):
        expected = f"{key}: frozen_stages is 4, of 3 layers in use"
        assert refusal(f"{key}.frozen_stages=4") == expected


@pytest.mark.parametrize("key", ["rpn.images.std", "roi.images.std", "clip.std"])
@pytest.mark.parametrize("deviation", [0.229, 0, -1])
def test_a_deviation_that_is_not_of_8_bit_values(key: str, deviation: float) -> None:
    """Of values in 0..1, images would be 255 times too bright."""
    message = refusal(f"{key}=[57,{deviation},57]")
    assert message.startswith(f"{key}.1: Input should be greater than or equal to 1, got ")


def test_an_unparsable_override_is_refused() -> None:
    assert refusal("seed=[")


def test_paths_and_workers_are_not_part_of_identity() -> None:
    here, there = compose(["data.root=a"]), compose(["data.root=b", "data.processes=7"])
    assert identity(here.data) == identity(there.data)
    assert "root" not in identity(here.data)


def test_a_value_that_matters_is_part_of_identity() -> None:
    assert identity(compose([]).rpn) != identity(compose(["rpn.network.alpha=0.31"]).rpn)


def test_identity_is_plain_data() -> None:
    assert json.loads(json.dumps(identity(compose([]))))["rpn"]["network"]["outputs"] == [2, 3, 4]


def test_overrides_of_another_stage_leave_a_subtree_alone() -> None:
    plain, other = compose(["stage=rpn"]), compose(["stage=roi", "calibration.gamma=0.3"])
    assert identity(plain.rpn) == identity(other.rpn)


def test_sides_of_rtdetr_are_multiples_of_32() -> None:
    message = refusal("rpn=rtdetr_r18vd", "rpn.network.train_sides=[640,650]")
    assert "rpn.network.train_sides.1" in message
    assert "multiple of 32, got 650" in message


def test_a_suite_comes_after_the_evaluation_sets_of_the_study() -> None:
    sets = compose(["experiment=coco_o365", "suite=odinw13"]).data.evaluation
    assert [*sets][:3] == ["lvis_v0_5", "coco_val", "PascalVOC"]
    assert len(sets) == 2 + 13
    assert {suite_set.style for suite_set in [*sets.values()][2:]} == {"coco"}


def test_several_suites_of_lvis() -> None:
    config = compose(["experiment=coco_o365", "suite=[lvis_v1,lvis_minival]"])
    assert [*config.data.evaluation][2:] == ["lvis_v1", "lvis_minival"]
    added = [*config.data.evaluation.values()][2:]
    assert [lvis.annotations.rpartition("/")[2] for lvis in added] == [
        "lvis_v1_val.json",
        "lvis_v1_minival_inserted_image_name.json",
    ]
    assert {lvis.vocabulary for lvis in added} == {"lvis_v1"}
    assert "lvis_v1" in config.clip_embeddings.files  # type: ignore[union-attr]
