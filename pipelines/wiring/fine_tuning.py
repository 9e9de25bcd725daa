"""A study's fine-tuning: its networks, new names and kept names."""

from __future__ import annotations

from unidet.config.finetune import Rehearsal
from unidet.config.study import Config
from unidet.errors import UserError, suggestion
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.wiring.study_sets import (
    VOCABULARY,
    knows_text,
    new_sets,
    training_sets,
    vocabularies,
    why_no_text,
)

REHEARSAL, PLAIN, START = "rehearsal", "plain", "start"
"""The networks: what keeps old names, what does not, and what both start from."""


def fine_tuning(config: Config) -> Rehearsal | None:
    """The study's fine-tuning; None without any.

    Raises:
        UserError: it names no set, or the study has no RoI head to start from.
    """
    settings = config.finetune
    if settings.kind == "none":
        return None
    if not knows_text(config):
        raise UserError(f"finetune: it trains a RoI head, but {why_no_text(config)}")
    if not settings.sets:
        known = ", ".join(name.split("/")[-1] for name in training_sets(config)) or "none yet"
        raise UserError(
            "finetune.sets: names no set to learn from; give those of data.training that are new, "
            f"finetune.sets=[NAME]; there is {known}"
        )
    if config.roi.text == "random":
        raise UserError(
            "finetune: a head that was trained with random text (roi.text=random) knows no names; "
            "give roi.text=clip"
        )
    if config.roi.training is not None and not training_sets(config):
        raise UserError(
            "finetune.sets: leaves no set for stage roi to be trained on first; give a trained "
            "head, roi.training=null roi.weights=FILE, or more sets: data.training.NAME={…}"
        )
    return settings


def settings_of(config: Config) -> Rehearsal:
    """The fine-tuning of a study that has one, as all its stages do."""
    settings = fine_tuning(config)
    assert settings is not None
    return settings


def tuned(config: Config) -> tuple[str, ...]:
    """The networks that are fine-tuned, the main one first."""
    settings = fine_tuning(config)
    if settings is None:
        return ()
    return (REHEARSAL, PLAIN) if settings.plain else (REHEARSAL,)


def why_none(config: Config) -> str:
    """Why a stage of fine-tuning has nothing to do."""
    return "nothing is fine-tuned; finetune=own finetune.sets=[NAME] learns a set's names later"


def kept_vocabularies(config: Config) -> tuple[str, ...]:
    """Label spaces whose names are kept: `finetune.keep`, or those of the training sets.

    Raises:
        UserError: an unknown one, or none.
    """
    settings = settings_of(config)
    known = vocabularies(config)
    for name in settings.keep:
        if name not in known:
            raise UserError(
                f"finetune.keep: no set has a vocabulary {name!r}; {suggestion(name, known)}"
                f"there are {', '.join(known)}"
            )
    trained = (entry.vocabulary for entry in training_sets(config).values())
    kept = tuple(dict.fromkeys(settings.keep or trained))
    if not kept:
        raise UserError(
            "finetune.keep: nothing says which names the starting weights know; give the "
            f"vocabularies of sets that have them: finetune.keep=[NAME]; there are "
            f"{', '.join(known)}"
        )
    return kept


def names_of(vocabulary: str, config: Config) -> Input:
    """The names of a label space, as its first set has them."""
    return Input(Node("data", vocabularies(config)[vocabulary][0]), VOCABULARY)


def new_vocabularies(config: Config) -> tuple[str, ...]:
    """Label spaces of the fine-tuning sets."""
    return tuple(dict.fromkeys(entry.vocabulary for entry in new_sets(config).values()))


def rehearsed_sets(config: Config) -> tuple[str, ...]:
    """Old training sets with stored images: those whose names are kept."""
    settings = fine_tuning(config)
    if settings is None or not config.proposals.training:
        return ()
    if not settings.images or not (settings.rehearsal or settings.negatives):
        return ()
    kept = kept_vocabularies(config)
    return tuple(name for name, entry in training_sets(config).items() if entry.vocabulary in kept)
