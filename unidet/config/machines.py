"""The schema of where processes run; nothing here changes a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unidet.config.fields import FilePath, Positive


@dataclass(frozen=True)
class ClusterConfig:
    """Where the processes that share a stage's shards run: "" is this machine, started directly.

    `parameters` are submitit's own (`timeout_min`, `slurm_partition`, …).
    """

    executor: Literal["", "local", "slurm"]
    parameters: dict[str, bool | int | float | str]


@dataclass(frozen=True)
class TrainConfig:
    """How many processes train a network together (stages `rpn` and `roi`), by Open MPI.

    `hostfile` is Open MPI's; without one all processes run on this machine.
    """

    processes: Positive
    hostfile: FilePath
