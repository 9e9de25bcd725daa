"""What a fine-tuning is about, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.cli import compose
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.graph import needed
from unidet.pipelines.engine.node import Node
from unidet.pipelines.stages.finetune import check
from unidet.pipelines.wiring.fine_tuning import kept_vocabularies, rehearsed_sets
from unidet.pipelines.wiring.image_sets import save_image_set
from unidet.pipelines.wiring.study_sets import new_sets, training_sets
from unidet.records import Category, Split

OWN = (
    "finetune=own",
    "finetune.sets=[birds]",
    "data.training.birds={annotations: birds.json, images: birds, vocabulary: birds}",
)


def nodes(*overrides: str) -> list[str]:
    return [str(node) for node in needed("finetune_eval", compose(overrides))]


def test_a_set_to_be_learned_later_is_no_training_set() -> None:
    config = compose(OWN)
    assert list(new_sets(config)) == ["training/birds"]
    assert list(training_sets(config)) == ["training/a", "training/b"]


def test_what_it_runs() -> None:
    found = nodes(*OWN)
    assert found[-6:] == [
        f"finetune_eval[{network}/{name}]"
        for network in ("rehearsal", "plain", "start")
        for name in ("val", "dev")
    ]
    assert {"rehearsal[training/a]", "finetune[rehearsal]", "finetune[plain]"} < set(found)
    alone = nodes(*OWN, "finetune.plain=false")
    assert not any("plain" in node for node in alone)


def test_without_old_images_nothing_is_stored() -> None:
    assert rehearsed_sets(compose([*OWN, "finetune.images=0"])) == ()
    assert rehearsed_sets(compose([*OWN, "finetune.rehearsal=0", "finetune.negatives=0"])) == ()
    given = ("roi.training=null", "roi.weights=head.npz", "proposals.training=false")
    assert rehearsed_sets(compose([*OWN, *given])) == ()
    assert rehearsed_sets(compose([*OWN, "finetune.keep=[toy_b]"])) == ("training/b",)


def test_names_to_keep_can_be_those_of_any_set() -> None:
    assert kept_vocabularies(compose(OWN)) == ("toy_a", "toy_b")
    assert kept_vocabularies(compose([*OWN, "finetune.keep=[toy_val]"])) == ("toy_val",)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["finetune=own"], "finetune.sets: names no set"),
        (["finetune=own", "finetune.sets=[bird]", OWN[2]], "did you mean 'birds'?"),
        ([*OWN, "clip_embeddings=none"], "a closed-set study"),
        ([*OWN, "finetune.keep=[toy_c]"], "finetune.keep: no set has a vocabulary 'toy_c'"),
        ([*OWN, "finetune.sets=[birds,a,b]"], "finetune.sets: leaves no set"),
        ([*OWN, "roi.text=random"], "random text (roi.text=random) knows no names"),
        (["stage=finetune"], "nothing is fine-tuned"),
    ],
)
def test_what_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        nodes(*overrides)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def index(folder: Path, names: list[str], boxes: int) -> Path:
    """A `data` artefact of one image."""
    folder.mkdir()
    split = Split(
        name="birds",
        image_ids=np.array([1]),
        file_names=("1.png",),
        widths=np.array([64]),
        heights=np.array([64]),
        box_image=np.zeros(boxes, np.int32),
        boxes_xyxy=np.tile([1, 1, 30, 30], (boxes, 1)),
        labels=np.zeros(boxes, np.int32),
        is_crowd=np.zeros(boxes, bool),
        categories=tuple(Category(number, name) for number, name in enumerate(names, 1)),
    )
    save_image_set(split, np.zeros((1, 32), np.uint8), folder)
    return folder


@pytest.mark.parametrize(
    ("names", "boxes", "said"),
    [
        (["wren", "Red Ring"], 1, "birds: 'Red Ring' is a name of 'toy_a' already"),
        (["wren"], 0, "birds has no image to learn from"),
        (["wren"], 1, ""),
    ],
)
def test_the_new_sets_are_looked_at(
    names: list[str], boxes: int, said: str, tmp_path: Path
) -> None:
    config: Config = compose(OWN)
    data = {
        Node("data", "training/a"): index(tmp_path / "a", ["red_ring"], 1),
        Node("data", "training/b"): index(tmp_path / "b", ["star"], 1),
        Node("data", "training/birds"): index(tmp_path / "birds", names, boxes),
    }
    if not said:
        check(config, "rehearsal", data)
        return
    with pytest.raises(UserError) as caught:
        check(config, "rehearsal", data)
    assert said in str(caught.value)
