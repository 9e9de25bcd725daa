"""Initial weights from a checkpoint: `rpn.weights`, `roi.weights`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from unidet.config.stages import RegionNetworkConfig, RpnConfig
from unidet.errors import UserError
from unidet.pipelines.engine.stage import Job

ANY_CHECKPOINT = "unidet.pipelines.wiring.any_checkpoint"
"""Loaded by name: it knows every layout, which a network that starts without has no use for."""


@dataclass(frozen=True)
class ClassOutputs:
    """What a network tells apart.

    Attributes:
        arrays: patterns of its arrays that begin with a row for each class.
        names: what each output stands for, None for nothing; empty if the network is class-agnostic
            and has one output.
    """

    arrays: tuple[str, ...] = ()
    names: tuple[str | None, ...] = ()


def starting_file(key: str, root: str, place: str) -> dict[str, Path]:
    """The checkpoint, and where it is an ncnn graph the weights beside it, for a stage's key.

    Args:
        key: what the configuration calls it, for messages.
        root, place: `data.root`, and the file relative to it; an empty place is none.

    Raises:
        UserError: a file is not there.
    """
    if not place:
        return {}
    path = Path(root) / place
    files = {"weights": path}
    if path.suffix == ".param":
        files["weights.bin"] = path.with_suffix(".bin")
    for file in files.values():
        if not file.is_file():
            raise UserError(f"{key}: {file} is not there; it is looked for below data.root")
    return files


def load_starting_weights(
    network: Any, path: Path, *, is_trained_further: bool, outputs: ClassOutputs | None = None
) -> None:
    """Weights of any file: ours of any size, or official ones in a layout of this network.

    Args:
        is_trained_further: a part will do: an ImageNet or CLIP backbone, or a network that lacks
            what only training uses, or one for other classes.
        outputs: those of equal names are taken over; None for a network that has none of its own.

    Raises:
        UserError: the file cannot be read; Misfit where it does not fit the network.
    """
    module = import_module(ANY_CHECKPOINT)
    module.load_checkpoint(network, path, is_trained_further=is_trained_further, outputs=outputs)


def code_of(weights: str) -> tuple[str, ...]:
    """The module that reads `weights`, if there are any: a root of the stage's code closure."""
    return (ANY_CHECKPOINT,) if weights else ()


def keep_weights(job: Job, network: Any, stage: str, classes: Sequence[str | None] = ()) -> None:
    """Write the given weights to model.safetensors, if nothing is trained.

    Args:
        classes: names of the outputs, which the file then carries.

    Raises:
        UserError: no weights were given.
    """
    from unidet.weights.load import state_of
    from unidet.weights.write import metadata_of, write_safetensors

    need_weights(getattr(job.config, stage), stage)
    path = job.out / "model.safetensors"
    write_safetensors(path, state_of(network), metadata_of(classes))


def need_weights(config: RpnConfig | RegionNetworkConfig, stage: str) -> None:
    """UserError if a stage neither trains a network nor is given weights."""
    if config.training is None and not config.weights:
        raise UserError(
            f"{stage}.training: null needs a trained network; name one: {stage}.weights=FILE"
        )
