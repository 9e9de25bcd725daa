"""A GPU for each of the processes that train one network together."""

from __future__ import annotations

import os

from unidet.backend.gpu import NoCuda

RANK, COUNT = "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"  # on this machine
VISIBLE = "CUDA_VISIBLE_DEVICES"


def take_own_gpu() -> None:
    """Show this process, one of `mpirun`, the GPU of its number and no other.

    Of CUDA_VISIBLE_DEVICES, where that is set, process 0 of a machine takes the first. To be called
    before anything asks the driver, which reads the variable once.

    Raises:
        NoCuda: fewer are shown than there are processes on this machine.
    """
    rank, count = int(os.environ.get(RANK, "0")), int(os.environ.get(COUNT, "1"))
    shown = os.environ.get(VISIBLE)
    gpus = [str(number) for number in range(count)] if shown is None else shown.split(",")
    if len(gpus) < count:
        raise NoCuda(too_few(count, len(gpus)))
    os.environ[VISIBLE] = gpus[rank]


def too_few(processes: int, gpus: int) -> str:
    """What is wrong, and what to set, where each process would need a GPU of its own."""
    shown = "one GPU is" if gpus == 1 else f"{gpus} GPUs are"
    return (
        f"{processes} processes of train.processes need a GPU each, {shown} shown on this "
        f"machine: train.processes={max(gpus, 1)}"
    )
