"""Opens a network of a finished study, given by an experiment or a folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.config.compose import compose
from unidet.config.folders import STUDY, study_folder, take_folders
from unidet.config.stages import TextEmbeddings, TrainedClip
from unidet.config.study import Config
from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.formats.embeddings import read_named_embeddings
from unidet.pipelines.detector import texts
from unidet.pipelines.detector.closed_set import ClosedSet
from unidet.pipelines.detector.lineages import (
    HEADS,
    Lineage,
    lineage_at,
    lineages,
    recorded,
)
from unidet.pipelines.detector.network import Network
from unidet.pipelines.detector.one_network import OneNetwork
from unidet.pipelines.detector.texts import Encode, Ready, Texts
from unidet.pipelines.detector.two_stage import TwoStage
from unidet.pipelines.engine.changes import differences_of
from unidet.pipelines.engine.engine import bring_up_jittor
from unidet.pipelines.engine.keys import values_of
from unidet.pipelines.engine.node import Node
from unidet.pipelines.wiring.embedding_artefacts import EMBEDDINGS
from unidet.pipelines.wiring.learned_names import LEARNED
from unidet.pipelines.wiring.study_networks import END_TO_END, ROI, end_to_end
from unidet.pipelines.wiring.study_sets import proposers
from unidet.store.disk import nearest_folder
from unidet.store.record import Action
from unidet.store.store import Store
from unidet.vocabularies.vocabulary import plain

if TYPE_CHECKING:
    import numpy as np

TOY, OTHERS = "experiment=toy", "experiment=coco_o365"
"""What a folder's artefacts do not say is as in one of these."""
_SHOWN_VALUES = 3
_TRAINED = ("rpn", "clip", "roi", "end2end")
"""Stages that train and whose whole settings an artefact records."""
TRAIN = "train on real images: unidet stage=roi experiment=bench data.root=FOLDER"
LOAD_OR_TRAIN = f"give checkpoints (docs/weights.md says where and how), or {TRAIN}"


def open_network(
    study: str | Path | None, root: str | Path | None, overrides: Sequence[str]
) -> Network:
    """The newest network of a study, for `model.load`.

    Raises:
        UserError: nothing that is trained.
    """
    return network_of(*find(study, root, overrides, or_else=LOAD_OR_TRAIN))


def network_of(lineage: Lineage, config: Config) -> Network:
    """The network of a lineage; imports Jittor."""
    bring_up_jittor(config)
    if lineage.head.stage == END_TO_END:
        return _one_network(lineage, config)
    return _two_stage(lineage, config) if lineage.head.stage in HEADS else _closed(lineage, config)


def find(
    study: str | Path | None,
    root: str | Path | None,
    overrides: Sequence[str],
    *,
    or_else: str = TRAIN,
) -> tuple[Lineage, Config]:
    """The artefacts of a study and the configuration of their networks.

    Args:
        or_else: what else helps where no study is on real images.

    Raises:
        UserError: nothing that is trained.
    """
    if study is not None:
        lineage = lineage_at(Path(study))
        if lineage is not None:
            return lineage, _as_recorded(lineage, overrides)
        names = _naming(study, overrides)
        config = compose(names)
        return lineage_for(config, _store(config, root), names), config
    store = _store(compose(overrides), root)
    on_real_images = lineages(store, lambda lineage: not lineage.is_toy)
    lineage = next(on_real_images, None)
    if lineage is None:
        raise UserError(_nothing(store, overrides, or_else))
    return lineage, _as_recorded(lineage, overrides)


def _naming(study: str | Path, overrides: Sequence[str]) -> list[str]:
    """The overrides that choose the study in a folder, or the experiment of this name."""
    if (Path(study) / STUDY).is_file():
        folder, _ = take_folders(["-C", str(study)])
        return folder.before(overrides)
    if len(Path(study).parts) > 1 or Path(study).is_file():
        raise UserError(f"study: {study} is neither a store, nor an artefact, nor an experiment")
    if Path(study).suffix:  # no experiment's name has one
        raise UserError(f"there is no file or folder {str(study)!r}")
    return [f"experiment={study}", *overrides]


def _store(config: Config, root: str | Path | None) -> Store:
    place = Path(config.store.root if root is None else root)
    nearest_folder(place)  # refuses a file in its place
    return Store(place)


def _nothing(store: Store, overrides: Sequence[str], or_else: str) -> str:
    """The message for a store without a study on real images."""
    if study_folder(overrides) is not None:
        return f"no study: nothing is trained in {store.root}; run: {_report(overrides)}"
    toy = next(lineages(store, lambda lineage: lineage.is_toy), None)
    if toy is None:
        return f"no study: the store {store.root} holds no trained network; {or_else}"
    return (
        f"no study on real images: the store {store.root} knows only the toy world's names, such "
        f"as 'striped red star', in its own drawings: --study {shlex.quote(str(store.root))}; for "
        f"photographs {or_else}"
    )


def _report(overrides: Sequence[str]) -> str:
    """The command that runs the study in a folder; empty where the overrides choose none."""
    folder = study_folder(overrides)
    return f"unidet -C {shlex.quote(str(folder))} stage=report" if folder else ""


# --- the lineage of an experiment, the configuration of a folder -------------------------------


def lineage_for(config: Config, store: Store, overrides: Sequence[str] = ()) -> Lineage:
    """The newest lineage with the networks of a configuration: a RoI head or a closed-set detector;
    for a fine-tuned study, its fine-tuned head.

    Args:
        overrides: that made the configuration, for the message.

    Raises:
        UserError: nothing is trained, or something that it was made from is gone.
    """
    choices = [_stages_of(config)]
    choices += [("rpn",)] if config.rpn.classes != "agnostic" and not end_to_end(config) else []
    for head, *others in choices:
        ours = partial(_is_ours, config=config, stages=(head, *others))
        lineage = next(lineages(store, ours, (head,)), None)
        if lineage is not None:
            return lineage
    head = choices[-1][0]
    run = _report(overrides) or f"unidet stage={head} experiment={config.experiment}"
    raise UserError(
        f"{head}: nothing trained for experiment {config.experiment!r} in {store.root}"
        f"{_others(config, store, choices)}; run: {run}"
    )


def _stages_of(config: Config) -> tuple[str, ...]:
    """The stages of the configured networks, of an open-vocabulary detector the head first."""
    heads = ("finetune", ROI) if config.finetune.kind != "none" else (ROI,)
    networks = (END_TO_END,) if end_to_end(config) else (*heads, "rpn")
    return (*networks, "clip") if isinstance(config.clip_embeddings, TextEmbeddings) else networks


def _is_ours(lineage: Lineage, config: Config, stages: tuple[str, ...]) -> bool:
    """Whether the networks are there and were made with this configuration."""
    return all(_made_by(stage, lineage) for stage in stages) and not any(
        True for _ in _differences(lineage, config, stages)
    )


def _made_by(stage: str, lineage: Lineage) -> bool:
    made = _artefacts(stage, lineage).values()
    return bool(made) and all(lineage.store.is_complete(action) for action in made)


def _artefacts(stage: str, lineage: Lineage) -> dict[str, Action]:
    """The stage's artefacts that the head was made from, or is; of several proposers by name."""
    if stage == "rpn":
        return lineage.proposers
    if stage == lineage.head.stage:
        return {lineage.head.name: lineage.head}
    return dict(list(lineage.of(stage).items())[:1])


def _differences(
    lineage: Lineage, config: Config, stages: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Values with which the networks were made and those of the configuration, by key."""
    settings = config.proposals
    merge = (list(settings.merge), settings.merge_nms) if settings.merge else None
    if lineage.merge != merge:
        yield "proposals.merge", str(lineage.merge), str(merge)
        return
    for stage in stages:
        for name, action in _artefacts(stage, lineage).items():
            own = values_of(Node(stage, name), config)[stage]
            yield from differences_of({stage: recorded(action, stage) or {}}, {stage: own})


def _others(config: Config, store: Store, choices: Sequence[tuple[str, ...]]) -> str:
    """A hint at the newest network in the store, if it was made with other values."""
    for stages in choices:
        for lineage in lineages(store, lambda lineage: True, stages[:1]):
            values = list(_differences(lineage, config, stages))
            if not 0 < len(values) <= _SHOWN_VALUES:  # of another study
                return ""
            changes = ", ".join(f"{key} was {was}, is {now}" for key, was, now in values)
            return f" ({changes}; the network that is there: --study {store.root})"
    return ""


def _as_recorded(lineage: Lineage, overrides: Sequence[str]) -> Config:
    """The configuration with the recorded values of the artefacts.

    Raises:
        UserError: an override gives its networks another training than they had.
    """
    base = TOY if lineage.is_toy else OTHERS
    others = [item for item in overrides if not item.startswith("experiment=")]
    config = compose([base, *others], lineage.recorded)
    given = {item.partition("=")[0].lstrip("+") for item in others if ".training." in item}
    trained = [stage for stage in _TRAINED if lineage.of(stage)] if given else []
    for key, was, now in _differences(lineage, config, trained):
        if key in given:
            raise UserError(
                f"{key}={now}: the newest network in {lineage.store.root} was trained with {was}; "
                f"leave it out, or give the experiment too: --study NAME {key}={now}"
            )
    return config


# --- the network -------------------------------------------------------------------------------


def _two_stage(lineage: Lineage, config: Config) -> TwoStage:
    from unidet.pipelines.proposers.proposer import open_proposer
    from unidet.pipelines.wiring.classifier import build_classifier
    from unidet.weights.load import load_stored

    if not lineage.proposers:
        lineage.intact_folder("rpn")  # says that it is not there
    networks = {
        name: open_proposer(rpn, lineage.store.intact_folder(lineage.proposers[name]))
        for name, rpn in proposers(config).items()
    }
    regions = build_classifier(config.roi.network)
    load_stored(regions, lineage.store.intact_folder(lineage.head) / "model.safetensors")
    return TwoStage(config, networks, regions, texts_of(lineage, config))


def _one_network(lineage: Lineage, config: Config) -> OneNetwork:
    from unidet.pipelines.wiring.end_to_end import open_end_to_end

    settings = end_to_end(config)
    assert settings is not None
    network = open_end_to_end(settings, lineage.intact_folder(END_TO_END))
    return OneNetwork(config, network, settings.images, texts_of(lineage, config))


def texts_of(lineage: Lineage, config: Config) -> Texts:
    """The text encoder of a study, or its stored text embeddings.

    Names that the head has learned by fine-tuning have the embeddings that it learned.
    """
    artefacts = lineage.of("clip_embeddings").values()
    files = [
        lineage.store.intact_folder(action) / EMBEDDINGS
        for action in artefacts
        if lineage.store.is_complete(action)
    ]
    learned = lineage.store.intact_folder(lineage.head) / LEARNED
    known = [learned] if learned.exists() else []
    embedded = texts.together([Ready(*read_named_embeddings(file)) for file in known + files])
    if not isinstance(config.clip_embeddings, TextEmbeddings):
        return Texts(embedded, None)
    folder = lineage.intact_folder("clip")
    ready = Ready(*read_named_embeddings(learned)) if known else None
    return Texts(ready, lambda: _encoder(folder, config), embedded)


def _encoder(clip: Path, config: Config) -> Encode:
    bring_up_jittor(config)  # a search has needed no network before
    from unidet.pipelines.wiring.text_encoder import open_text_encoder

    assert isinstance(config.clip_embeddings, TextEmbeddings)
    prompts = config.clip_embeddings
    encoder = open_text_encoder(clip, config.clip)

    is_told = not isinstance(config.clip, TrainedClip)  # that one has read the toy world alone

    def encode(names: Sequence[str]) -> np.ndarray:
        nonlocal is_told
        if not is_told and (unread := _unread(names)):
            is_told = True
            say(
                f"note: this study's text encoder has read the toy world's words alone, and not "
                f"{unread[0]!r}: what is found for other words means nothing"
            )
        return encoder.embed(names, prompts)

    return encode


def _unread(names: Sequence[str]) -> list[str]:
    """The words that are not of the toy world."""
    from unidet.data.toy.vocabulary import COLOURS, SHAPES, TEXTURES

    words = (word for name in names for word in plain(name).split())
    return [word for word in words if word not in {*COLOURS, *SHAPES, *TEXTURES}]


def _closed(lineage: Lineage, config: Config) -> ClosedSet:
    from unidet.pipelines.proposers.outputs import known_outputs
    from unidet.pipelines.proposers.proposer import open_detector

    folder = lineage.store.intact_folder(lineage.head)
    network = open_detector(config.rpn, folder)
    outputs = [output["name"] if output else None for output in known_outputs(folder)]
    return ClosedSet(network, config.rpn.images, outputs, config.proposals.keep)
