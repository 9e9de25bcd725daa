"""What a stage is: its name, what it reads and takes, and the function that makes its artefacts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidet.config.study import Config
from unidet.console.terminal import Progress
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.shards import ShardSet

if TYPE_CHECKING:
    import pandas as pd  # not at run time: every command would wait for it


class Subtrees:
    """The subtrees of the configuration that a stage declared, and no others."""

    def __init__(self, config: Config, stage: str, names: tuple[str, ...]) -> None:
        self._config = config
        self._stage = stage
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(f"stage {self._stage} reads {name!r} without declaring it")
        return getattr(self._config, name)


@dataclass(frozen=True)
class Job:
    """One run of a stage, for one node.

    Attributes:
        name: the dataset or vocabulary of the artefact; empty if the stage has a single artefact.
        config: the declared subtrees.
        settings: what `Stage.settings` gave.
        inputs: folders of the upstream artefacts, by what the stage calls them; read-only.
        images: image folder of each input that is a dataset in folders.
        files: paths of what `Stage.files` gave.
        work: private folder that survives interruptions: checkpoints, finished shards.
        out: empty folder whose content becomes the artefact.
        bring_up: makes Jittor ready; call before importing anything that uses tensors.
        progress: makes a progress display for a piece of work.
        digests_in: relative path -> sha256 of every file in a folder outside the store.
        siblings: folders of the artefacts that differ from this one only in their dataset.
        unchanged: checks that `files` are still what the key says, which raises UserError; the run
            is checked at its end, or long work where it has read them all. Only once.
    """

    name: str
    config: Any
    settings: Mapping[str, Any]
    inputs: Mapping[str, Path]
    images: Mapping[str, Path]
    files: Mapping[str, Path]
    work: Path
    out: Path
    bring_up: Callable[[], object]
    digests_in: Callable[[Path], Mapping[str, str]]
    siblings: Callable[[], Iterable[Path]]
    unchanged: Callable[[], None] = lambda: None
    progress: Callable[..., Progress] = Progress


def one_node(config: Config) -> tuple[str, ...]:
    return ("",)


def no_inputs(config: Config, name: str) -> dict[str, Input]:
    return {}


def no_files(config: Config, name: str) -> dict[str, Path]:
    return {}


def no_settings(config: Config, name: str) -> dict[str, Any]:
    return {}


def whole_study(config: Config, name: str) -> Config:
    return config


def no_code(config: Config) -> tuple[str, ...]:
    return ()


def no_check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    return None


def no_summary(folders: Mapping[str, Path]) -> str:
    return ""


def never(config: Config) -> bool:
    return False


@dataclass(frozen=True)
class Sharding:
    """How the long part of a stage is divided among processes.

    Attributes:
        plan: the shards; needs no tensors.
        fill: computes the shards that no other process has claimed, in the job's working folder.
        processes: the configured number of processes.
    """

    plan: Callable[[Job], ShardSet]
    fill: Callable[[Job], None]
    processes: Callable[[Config], int]


@dataclass(frozen=True)
class Comparison:
    """How a sweep over a stage is shown, unless as AP against a swept number.

    Attributes:
        metrics: of the artefacts' metrics.json, the table's columns.
        draw: given the table and the names of the swept keys, writes a figure to a folder.
    """

    metrics: tuple[str, ...]
    draw: Callable[[pd.DataFrame, Sequence[str], Path], Path]


@dataclass(frozen=True)
class Stage:
    """One step of the study.

    Functions of a configuration and a name are about one node: the stage's artefact for the dataset
    or vocabulary of that name.

    Attributes:
        name: as on the command line.
        version: to be raised when the meaning of the artefact changes in a way that its code does
            not show.
        reads: configuration subtrees that enter the key and are handed to `run`.
        run: makes the artefact.
        nodes: names of the artefacts that a configuration has of this stage, the main one first.
        view: the configuration as one node sees it, passed to the functions below. If several
            networks propose, each node sees its own as `rpn`.
        why_none: the message if a configuration has no such artefact.
        inputs: the input artefacts, by the names that the stage uses for them.
        settings: parts of other subtrees that this node depends on, by subtree; their identity
            enters the key.
        files: files and folders outside the store that enter the key by content.
        code: modules that the configuration chooses and `run` loads by name; they and what they
            import enter the key as `run`'s own module does.
        per_image: the inputs that belong to the dataset. Artefacts that agree in all else are
            siblings: what one holds of an image, another with the same image may take.
        check: given the `data` artefacts, raises for bad input before the first long stage starts.
        summary: the text printed about finished artefacts, given their folders by name.
        deliver: name of a module whose `deliver(config, store, action)` writes a file for the user
            beside the artefacts and returns its place. It may depend on what is not part of keys,
            such as hosts and times; it is given by name so that its imports are not part of the key
            either.
        sharding: work done in shards before `run`, which gathers them.
        comparison: of the artefacts of a sweep.
        data_parallel: whether several processes started by `mpirun` may call `run` together; they
            share the working folder, and the first one writes the artefact.
        tensors: whether `run` brings Jittor up.
    """

    name: str
    version: int
    reads: tuple[str, ...]
    run: Callable[[Job], None]
    nodes: Callable[[Config], Sequence[str]] = field(default=one_node)
    view: Callable[[Config, str], Config] = field(default=whole_study)
    why_none: Callable[[Config], str] = field(default=lambda config: "it has no work to do")
    inputs: Callable[[Config, str], Mapping[str, Input]] = field(default=no_inputs)
    settings: Callable[[Config, str], Mapping[str, Any]] = field(default=no_settings)
    files: Callable[[Config, str], dict[str, Path]] = field(default=no_files)
    code: Callable[[Config], tuple[str, ...]] = field(default=no_code)
    per_image: tuple[str, ...] = ()
    check: Callable[[Config, str, Mapping[Node, Path]], None] = field(default=no_check)
    summary: Callable[[Mapping[str, Path]], str] = field(default=no_summary)
    deliver: str = ""
    sharding: Sharding | None = None
    comparison: Comparison | None = None
    data_parallel: Callable[[Config], bool] = field(default=never)
    tensors: bool = True
