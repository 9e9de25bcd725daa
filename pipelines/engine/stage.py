"""What a stage is: its name, what it reads and takes, and the function that makes its artefact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidet.config.study import Config
from unidet.console.terminal import Progress
from unidet.pipelines.engine.shards import ShardSet

if TYPE_CHECKING:
    import pandas as pd  # not at run time: every command would wait for it


class Subtrees:
    """The parts of the configuration that a stage declared, and no others."""

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
    """One run of a stage.

    Attributes:
        config: the declared subtrees.
        inputs: folders of the upstream artefacts, by stage name; read-only.
        work: private folder that survives an interruption: checkpoints, finished shards.
        out: empty folder whose content becomes the artefact.
        bring_up: makes Jittor ready; call before importing anything that uses tensors.
        progress: makes a progress display for a piece of work.
    """

    config: Any
    inputs: Mapping[str, Path]
    work: Path
    out: Path
    bring_up: Callable[[], object]
    progress: Callable[..., Progress] = Progress


def no_inputs(config: Config) -> tuple[str, ...]:
    return ()


def no_files(config: Config) -> dict[str, Path]:
    return {}


def no_code(config: Config) -> tuple[str, ...]:
    return ()


def no_summary(folder: Path) -> str:
    return ""


def never(config: Config) -> bool:
    return False


@dataclass(frozen=True)
class Sharding:
    """How several processes share the long part of a stage.

    Attributes:
        plan: the shards there are; needs no tensors.
        fill: finishes the shards that nobody else is at, in the job's working folder.
        processes: how many processes the configuration asks for.
    """

    plan: Callable[[Job], list[ShardSet]]
    fill: Callable[[Job], None]
    processes: Callable[[Config], int]


@dataclass(frozen=True)
class Comparison:
    """How a sweep over a stage is shown, where not as AP against a swept number.

    Attributes:
        metrics: of the artefacts' metrics.json, the table's columns.
        draw: given the table and the names of the swept keys, leaves a picture in a folder.
    """

    metrics: tuple[str, ...]
    draw: Callable[[pd.DataFrame, Sequence[str], Path], Path]


@dataclass(frozen=True)
class Stage:
    """One step of the study.

    Attributes:
        name: as on the command line.
        version: raise it when the meaning of the artefact changes beyond what its code says.
        reads: configuration subtrees that enter the key and are handed to `run`.
        run: makes the artefact.
        inputs: names of the stages whose artefacts it takes, under a given configuration.
        files: files and folders outside the store that enter the key by content.
        code: modules that the configuration chooses and `run` loads by name; they and what they
            import enter the key as `run`'s own module does.
        summary: what to tell the person about a finished artefact.
        sharding: work that is done in shards before `run`, which then gathers them.
        comparison: of the artefacts of a sweep.
        data_parallel: whether several processes may call `run` together, started by `mpirun`; they
            share the working folder, and the first one makes the artefact.
        tensors: whether `run` brings Jittor up.
    """

    name: str
    version: int
    reads: tuple[str, ...]
    run: Callable[[Job], None]
    inputs: Callable[[Config], tuple[str, ...]] = field(default=no_inputs)
    files: Callable[[Config], dict[str, Path]] = field(default=no_files)
    code: Callable[[Config], tuple[str, ...]] = field(default=no_code)
    summary: Callable[[Path], str] = field(default=no_summary)
    sharding: Sharding | None = None
    comparison: Comparison | None = None
    data_parallel: Callable[[Config], bool] = field(default=never)
    tensors: bool = True
