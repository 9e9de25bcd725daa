"""The interface of proposal networks, and how the configured one is built.

`rpn.network.kind` names the module beside this one that builds it. It is loaded by that name, so
that a network's key holds the code of no other (`code_of`). A new proposer: a module with a `KIND`,
its settings in `config.networks.Proposer`, a page in `conf/rpn/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

from unidet.config.networks import ProposerConfig
from unidet.config.stages import RpnConfig
from unidet.errors import UserError
from unidet.pipelines.proposers.outputs import known_outputs

if TYPE_CHECKING:
    import jittor as jt
    import numpy as np

    from unidet.data.loader import Loader
    from unidet.ops.loss_term import Losses
    from unidet.ops.sampling import BatchRandom
    from unidet.records import Batch, Detected


class Proposer(Protocol):
    """A network that stage `rpn` trains and `proposals` runs.

    N images (N, 3, H, W), normalized and padded; `sizes_N2` their (height, width) before padding.
    """

    def loss(self, batch: Batch, rng: BatchRandom | np.random.Generator) -> Losses:
        """Named losses of one training batch, and other numbers to log."""

    def propose(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals of every image, (P, 5) float32 xyxy + score, best first."""


@runtime_checkable
class Detector(Proposer, Protocol):
    """A proposer that can predict classes: all but the localization networks."""

    def detect(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[Detected]:
        """Detections of every image, labels in 0 .. C-1, best first."""


Settings = TypeVar("Settings")
Network = TypeVar("Network")


def _nothing(settings: object) -> tuple[str, ...]:
    return ()


def _no_files(settings: object) -> dict[str, Path]:
    return {}


def _as_built(network: object, settings: object, inputs: Mapping[str, Path]) -> None:
    pass


def _as_loaded(network: object, batches_from: Callable[[int], Loader]) -> None:
    pass


@dataclass(frozen=True)
class Kind(Generic[Settings, Network]):
    """A proposer's module describes its network by this.

    Attributes:
        build: (settings, C, will be trained) -> the network for C classes, 0 for class-agnostic;
            UserError if it cannot predict classes.
        initialize: initializes a built network without `rpn.weights`, from the `inputs` and `files`
            below.
        inputs: stages whose artefacts that needs.
        files: files outside the store that it needs.
        refit: adapts a network with `rpn.weights` for training.
        class_arrays: patterns of the arrays that begin with a row for each class.
        code: modules, chosen by the settings, that its own module does not import.
    """

    build: Callable[[Settings, int, bool], Network]
    initialize: Callable[[Network, Settings, Mapping[str, Path]], None] = _as_built
    inputs: Callable[[Settings], tuple[str, ...]] = _nothing
    files: Callable[[Settings], dict[str, Path]] = _no_files
    refit: Callable[[Network, Callable[[int], Loader]], None] = _as_loaded
    class_arrays: tuple[str, ...] = ()
    code: Callable[[Settings], tuple[str, ...]] = _nothing


def kind_of(network: ProposerConfig) -> Kind[ProposerConfig, Proposer]:
    """The `KIND` of the network's module."""
    return import_module(_module(network)).KIND


def code_of(config: RpnConfig) -> tuple[str, ...]:
    """The modules that hold the configured network's code: roots of a stage's code closure."""
    return (_module(config.network), *kind_of(config.network).code(config.network))


def build_proposer(config: RpnConfig, classes: int) -> Proposer:
    """The network for so many `classes`, 0 for a class-agnostic one.

    Raises:
        UserError: it cannot tell classes apart.
    """
    return kind_of(config.network).build(config.network, classes, config.training is not None)


def open_proposer(config: RpnConfig, folder: Path) -> Proposer:
    """The trained network of the `rpn` artefact at `folder`."""
    from unidet.weights.load import load_stored

    network = build_proposer(config, len(known_outputs(folder)))
    load_stored(network, folder / "model.safetensors")
    return network


def open_detector(config: RpnConfig, folder: Path) -> Detector:
    """The same of an artefact whose outputs are classes.

    Raises:
        UserError: the network knows no classes.
    """
    network = open_proposer(config, folder)
    if not isinstance(network, Detector):
        raise UserError(f"rpn.network: a {config.network.kind} knows no classes")
    return network


def _module(network: ProposerConfig) -> str:
    return f"{__package__}.{network.kind}"
