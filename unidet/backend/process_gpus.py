"""Assigns a GPU to each process of a training by several processes."""

from __future__ import annotations

import os

from unidet.backend.gpu import NoCuda

RANK, COUNT = "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"  # on this machine
VISIBLE = "CUDA_VISIBLE_DEVICES"


def take_own_gpu() -> None:
    """Makes only one GPU visible to this process of `mpirun`: the one with its local rank.

    The ranks count the entries of CUDA_VISIBLE_DEVICES if it is set. Call it before anything asks
    the driver, which reads the variable once.

    Raises:
        NoCuda: fewer GPUs are visible than there are processes on this machine.
    """
    rank, count = int(os.environ.get(RANK, "0")), int(os.environ.get(COUNT, "1"))
    shown = os.environ.get(VISIBLE)
    gpus = [str(number) for number in range(count)] if shown is None else shown.split(",")
    if len(gpus) < count:
        raise NoCuda(too_few(count, len(gpus)))
    os.environ[VISIBLE] = gpus[rank]


def too_few(processes: int, gpus: int) -> str:
    """The message for too few GPUs, with the setting that works."""
    shown = "one GPU is" if gpus == 1 else f"{gpus} GPUs are"
    return (
        f"{processes} processes of train.processes need a GPU each, {shown} shown on this "
        f"machine: train.processes={max(gpus, 1)}"
    )
