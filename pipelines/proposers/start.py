"""Initial weights of stage `rpn`: `rpn.weights`, or those of the network's kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from unidet.config.stages import RpnConfig
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.proposers import proposer
from unidet.pipelines.proposers.proposer import Proposer, kind_of
from unidet.pipelines.wiring import starting_weights
from unidet.pipelines.wiring.starting_weights import (
    ClassOutputs,
    load_starting_weights,
    starting_file,
)


def initialize(
    network: Proposer,
    config: RpnConfig,
    names: Sequence[str | None],
    files: Mapping[str, Path],
    inputs: Mapping[str, Path],
) -> None:
    """Initialize the network, whose outputs have these names (none of a class-agnostic one), from
    `files` or the artefacts `inputs`.

    Raises:
        UserError: the file cannot be read, or does not fit the network.
    """
    from unidet.weights.load import Misfit

    if not config.weights:
        kind_of(config.network).initialize(network, config.network, inputs)
        return
    is_trained = config.training is not None
    outputs = ClassOutputs(kind_of(config.network).class_arrays, tuple(names))
    try:
        load_starting_weights(
            network, files["weights"], is_trained_further=is_trained, outputs=outputs
        )
    except Misfit as error:
        raise UserError(f"{error}; rpn.network and rpn.classes say what it must be") from error


def inputs(config: RpnConfig) -> tuple[str, ...]:
    """Stages whose artefacts `initialize` reads."""
    return () if config.weights else kind_of(config.network).inputs(config.network)


def files(config: Config, name: str) -> dict[str, Path]:
    """Files outside the store that `initialize` reads: they enter the stage's key.

    Raises:
        UserError: a file is not there.
    """
    rpn = config.rpn
    if rpn.weights:
        return starting_file("rpn.weights", config.data.root, rpn.weights)
    return kind_of(rpn.network).files(rpn.network)


def code_of(config: RpnConfig) -> tuple[str, ...]:
    """The modules of the network and of what it starts from: roots of the stage's code closure."""
    return (*proposer.code_of(config), *starting_weights.code_of(config.weights))
