"""Schema of where processes run; it does not affect results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unidet.config.fields import FilePath, Positive


@dataclass(frozen=True)
class ClusterConfig:
    """Where the processes that share a stage's shards run.

    `executor` "" starts them directly on this machine. `parameters` are passed to submitit
    (`timeout_min`, `slurm_partition`, …).
    """

    executor: Literal["", "local", "slurm"]
    parameters: dict[str, bool | int | float | str]


@dataclass(frozen=True)
class TrainConfig:
    """Number of processes that train one network (stages `rpn` and `roi`), with Open MPI.

    `hostfile` is Open MPI's; without one all processes run on this machine.
    """

    processes: Positive
    hostfile: FilePath
