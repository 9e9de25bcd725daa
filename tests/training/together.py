"""Run by mpirun: FOLDER MODE; trains the small networks and leaves their weights in FOLDER.

Modes: `train` · `die` (the second process is killed after step 3) · `stop` (the second process is
asked to stop at step 2).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from unidet.backend.runtime import bring_up
from unidet.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from unidet.console.interrupt import EXIT_CODE, Interrupted, listen
from unidet.records import Batch

NETWORKS = ("cln", "classifier", "partitioned classifier", "end to end")
SETTINGS = TrainingConfig(
    steps=3,  # more, and noise of 1e-7 may flip which region the box head samples
    batch_size=4,
    optimizer=OptimizerConfig(kind="sgd", lr=1e-2, momentum=0.9, clip_norm=5.0),
    schedule=ScheduleConfig(kind="constant"),
    ema_decay=0.9,
    checkpoint_every=2,
)


class Event:
    """Sends the second process a signal when a step is done."""

    def __init__(self, rank: int, step: int, number: int) -> None:
        self.rank, self.step, self.number = rank, step, number

    def update(self, done: int, total: int, note: str = "") -> None:
        if self.rank == 1 and done == self.step:
            os.kill(os.getpid(), self.number)


def main(folder: Path, mode: str) -> None:
    bring_up("cpu", 1, mpi="OMPI_COMM_WORLD_SIZE" in os.environ)
    listen()
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # batches.py, networks.py
    from small_networks import network_and_batch, preparation

    from unidet.training import ranks
    from unidet.training.loop import train

    step, number = {"train": (0, 0), "die": (3, signal.SIGKILL), "stop": (2, signal.SIGUSR1)}[mode]
    for name in NETWORKS if mode == "train" else NETWORKS[:1]:
        network, whole = network_and_batch(name)
        if name == "cln":
            network.settings = replace(network.settings, batch_norm_training=True)
        share = whole.parts(ranks.count())[ranks.rank()]
        height, width = share.sizes_N2.max(axis=0)  # what a process's own loader pads to
        share.images_NCHW = share.images_NCHW[:, :, :height, :width]

        def batches(start: int, share: Batch = share) -> Iterator[Batch]:
            while True:
                yield share

        work = folder / name
        work.mkdir(parents=True, exist_ok=True)
        event = Event(ranks.rank(), step, number)
        try:
            weights = train(
                network,
                network.loss,
                batches,
                SETTINGS,
                seed=5,
                folder=work,
                progress=event,
                prepare=preparation(network),
            )
        except Interrupted:
            sys.exit(EXIT_CODE)
        if ranks.rank() == 0:
            np.savez(folder / f"{name}.npz", **weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
