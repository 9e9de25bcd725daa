"""The datasets of a study by node name: `training/NAME` for training sets, else NAME.

Where several networks propose together, each has nodes of its own: `rpn[NETWORK]`, and
`proposals[NAME@NETWORK]` beside `proposals[NAME]`, which are those of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from unidet.config.data import EvaluationSet, ToyData, ToySet, TrainingSet
from unidet.config.stages import RpnConfig
from unidet.config.study import Config
from unidet.errors import UserError, suggestion
from unidet.pipelines.engine.node import Input, Node

TRAINING = "training/"
DataSet = TrainingSet | ToySet
EvaluationData = EvaluationSet | ToySet


def training_sets(config: Config) -> dict[str, DataSet]:
    """The sets that the study's networks are trained on, in the order of their dataset ids."""
    new = _new_names(config)
    return {name: entry for name, entry in _all_training_sets(config).items() if name not in new}


def new_sets(config: Config) -> dict[str, DataSet]:
    """The training sets for fine-tuning only (`finetune.sets`).

    Raises:
        UserError: there is no such set, or no other.
    """
    sets, new = _all_training_sets(config), _new_names(config)
    for name in new:
        if name not in sets:
            known = [key.removeprefix(TRAINING) for key in sets]
            name = name.removeprefix(TRAINING)
            raise UserError(
                f"finetune.sets: {name!r} is not a training set; {suggestion(name, known)}"
                f"data.training has {', '.join(known) or 'none'}"
            )
    return {name: sets[name] for name in new}


def why_untrained(config: Config) -> str:
    """Why there is no set that the networks are trained on."""
    if _all_training_sets(config):
        return "finetune.sets names all of data.training, and no other stage trains on those"
    return "data.training is empty"


def _new_names(config: Config) -> tuple[str, ...]:
    fine_tuning = config.finetune
    if fine_tuning.kind == "none":
        return ()
    return tuple(f"{TRAINING}{name}" for name in fine_tuning.sets)


def _all_training_sets(config: Config) -> dict[str, DataSet]:
    data = config.data
    sets: dict[str, DataSet] = {}
    if isinstance(data, ToyData):
        both = {
            "a": ToySet("train_a", "toy_a", data.train_scenes, config.seed),
            "b": ToySet("train_b", "toy_b", data.train_scenes, config.seed),
        }
        sets |= {name: both[name] for name in data.train_sets}
        if data.new_scenes:
            sets["new"] = ToySet("train_new", "toy_new", data.new_scenes, config.seed)
    _refuse_taken(sets, data.training)
    return {f"{TRAINING}{name}": entry for name, entry in {**sets, **data.training}.items()}


def evaluation_sets(config: Config) -> dict[str, EvaluationData]:
    """The evaluation sets, the main one first."""
    data = config.data
    sets: dict[str, EvaluationData] = {}
    if isinstance(data, ToyData):
        if data.new_scenes:  # the same scenes, ten names in other words
            sets["val"] = ToySet("val_new", "toy_val_new", data.val_scenes, config.seed)
            sets["dev"] = ToySet("dev_new", "toy_val_new", data.dev_scenes, config.seed)
        else:
            sets["val"] = ToySet("val", "toy_val", data.val_scenes, config.seed)
            sets["dev"] = ToySet("dev", "toy_val", data.dev_scenes, config.seed)
        if not data.dev_scenes:
            del sets["dev"]
    _refuse_taken(sets, data.evaluation)
    return {**sets, **data.evaluation}


def _refuse_taken(toy: Mapping[str, object], others: Mapping[str, object]) -> None:
    taken = sorted(toy.keys() & others.keys())
    if taken:
        raise UserError(f"data: {taken[0]!r} is a set of the toy world; choose another name")


def all_sets(config: Config) -> dict[str, DataSet]:
    """Training sets, fine-tuning sets, then evaluation sets."""
    return {**training_sets(config), **new_sets(config), **evaluation_sets(config)}


def images_folder(config: Config, name: str) -> Path | None:
    """Folder of a set's image files; None if its images are in its artefact."""
    entry = all_sets(config).get(name)
    return Path(config.data.root) / entry.images if isinstance(entry, TrainingSet) else None


def vocabularies(config: Config) -> dict[str, list[str]]:
    """Label space -> the sets that have it; the first of them defines its names."""
    sets: dict[str, list[str]] = {}
    for name, entry in all_sets(config).items():
        sets.setdefault(entry.vocabulary, []).append(name)
    return sets


def knows_text(config: Config) -> bool:
    """Whether names have embeddings; a closed-set study needs none and has no RoI head."""
    return config.clip_embeddings.source != "none"


def why_no_text(config: Config) -> str:
    """Why a stage that classifies regions by text has nothing to do."""
    return (
        "a closed-set study (clip_embeddings=none) scores no names; stage=coco_eval evaluates it, "
        "clip=openai_rn50 clip_embeddings=prompts81 would give it a text encoder"
    )


def key_as_given(config: Config, name: str, field: str) -> str:
    """The user's key for what a node of this name knows as `data.source.FIELD` or `data.FIELD`."""
    leaf = field.removeprefix("data.").removeprefix("source.")
    entry = all_sets(config).get(name)
    if isinstance(entry, TrainingSet):
        role = "training" if name.startswith(TRAINING) else "evaluation"
        return f"data.{role}.{name.removeprefix(TRAINING)}.{leaf}"
    if leaf == "seed":
        return leaf
    if name == CROPS:
        return {"train": "data.clip_scenes", "test": "data.clip_test_scenes"}.get(leaf, field)
    if leaf == "scenes":
        old = name in (f"{TRAINING}a", f"{TRAINING}b")
        return f"data.{'train' if old else name.removeprefix(TRAINING)}_scenes"
    return field


# --- several networks that propose ----------------------------------------------------------------


def of_network(name: str, network: str) -> str:
    """The node name of one network's proposals on a set, if several networks propose."""
    return f"{name}@{network}"


def set_and_network(name: str) -> tuple[str, str]:
    """The two parts of such a name; no network for the merged proposals or a single network."""
    data_set, _, network = name.partition("@")
    return data_set, network


def proposers(config: Config) -> dict[str, RpnConfig]:
    """The networks that propose, by the names of their nodes."""
    return config.proposers or {"": config.rpn}


def proposer_nodes(config: Config) -> list[Node]:
    """The artefacts of the networks that propose."""
    return [Node("rpn", network) for network in proposers(config)]


def study_of_network(config: Config, network: str) -> Config:
    """The study with only one of its networks, so that artefacts are shared with such a study."""
    if not network:
        return config
    alone = replace(config.proposals, merge=())
    return replace(config, rpn=config.proposers[network], proposers={}, proposals=alone)


# --- what stages take --------------------------------------------------------------------------


def data_of(name: str) -> Input:
    """The whole artefact of a dataset."""
    return Input(Node("data", name))


def training_data(config: Config) -> dict[str, Input]:
    """Every training set's artefact, in order, by the text of its node."""
    return {str(Node("data", name)): data_of(name) for name in training_sets(config)}


def training_vocabularies(config: Config) -> dict[str, Input]:
    """Every training set's category names, which decide what is novel elsewhere."""
    return {
        str(node): Input(node, VOCABULARY)
        for node in (Node("data", name) for name in training_sets(config))
    }


VOCABULARY = "vocabulary.json"
"""In a `data` artefact: id, name and synonyms of every category, by id; counts are elsewhere."""
CROPS = "clip/crops"
"""Name of the toy world's captioned crops among the `data` nodes."""
