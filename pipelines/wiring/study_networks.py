"""Which network of a study proposes and which classifies: `rpn` and `roi`, or `end2end`.

A stage that runs one of them takes its artefact under the name of the stage that trains it, and
that subtree of the configuration. `wiring.proposing` and `wiring.naming` open the networks.
"""

from __future__ import annotations

from typing import Any

from unidet.config.finetune import AbsentFineTuning
from unidet.config.networks import ClassifierConfig
from unidet.config.stages import EndToEndConfig
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.wiring.study_sets import proposer_nodes

RPN, ROI, END_TO_END = "rpn", "roi", "end2end"
MODULE = "unidet.pipelines.wiring.end_to_end"
"""Loaded by name: the keys of a decoupled study hold none of its code."""


def end_to_end(config: Config) -> EndToEndConfig | None:
    """Settings of the end-to-end network; None for a decoupled study.

    Raises:
        UserError: others shall propose with it, or its names shall be fine-tuned.
    """
    if not isinstance(config.end2end, EndToEndConfig):
        return None
    if config.proposals.merge:
        raise UserError(
            "proposals.merge: an end-to-end study has one network; leave it out, or give "
            "end2end=none"
        )
    if not isinstance(config.finetune, AbsentFineTuning):
        raise UserError(
            "finetune: continues from the network of stage roi, which an end-to-end study does not "
            "have; "
            "give finetune=none, or end2end=none"
        )
    return config.end2end


def why_end_to_end(config: Config) -> str:
    """Why stage `rpn` or `roi` has nothing to do in an end-to-end study."""
    return "an end-to-end study has one network, which stage=end2end trains; end2end=none has two"


def proposing(config: Config) -> str:
    """The stage whose network proposes."""
    return END_TO_END if end_to_end(config) else RPN


def naming(config: Config) -> str:
    """The stage whose network classifies regions."""
    return END_TO_END if end_to_end(config) else ROI


def naming_network(config: Config) -> ClassifierConfig:
    """Settings of the network that names regions."""
    return (end_to_end(config) or config.roi).network


def input_of(stage: str, network: str = "") -> dict[str, Input]:
    """The artefact of a network, of one among several by its name, for a stage that runs it."""
    return {stage: Input(Node(stage, network))}


def settings_of(config: Config, stage: str) -> dict[str, Any]:
    """The subtree that says what the network is, for the same."""
    return {stage: getattr(config, stage)}


def proposing_nodes(config: Config) -> list[Node]:
    """The artefacts of all networks that propose."""
    return [Node(END_TO_END)] if end_to_end(config) else proposer_nodes(config)


def proposing_settings(config: Config) -> dict[str, Any]:
    """The subtrees that say what these are."""
    stage = proposing(config)
    others = {} if end_to_end(config) else {"proposers": config.proposers}
    return settings_of(config, stage) | others
