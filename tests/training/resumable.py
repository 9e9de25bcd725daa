"""A small training run for the resume tests: FOLDER KILL_AT; prints a digest of the weights."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unidet.backend.runtime import bring_up
from unidet.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig

SETTINGS = TrainingConfig(
    steps=30,
    batch_size=4,
    optimizer=OptimizerConfig(kind="adamw", lr=1e-2, weight_decay=0.01, clip_norm=5.0),
    schedule=ScheduleConfig(kind="cosine", warmup_steps=3),
    ema_decay=0.9,
    ema_warmup=10,
    checkpoint_every=7,
)


class KillAt:
    """Progress that ends the process when a step is done."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def update(self, done: int, total: int, note: str = "") -> None:
        if done == self.step:
            os.kill(os.getpid(), self.number)


def batches(start: int) -> Iterator[np.ndarray]:
    for step in range(start, SETTINGS.steps):
        yield np.random.default_rng((1, step)).standard_normal((4, 3, 12, 12)).astype(np.float32)


def main(folder: str, kill_at: int, number: int) -> None:
    bring_up("cpu")
    import jittor as jt
    from jittor import nn

    from unidet.console.interrupt import EXIT_CODE, Interrupted, listen
    from unidet.ops.batch_norm import BatchNorm2d
    from unidet.ops.loss_term import Losses, LossTerm
    from unidet.ops.sampling import BatchRandom
    from unidet.training.loop import train

    listen()
    jt.set_global_seed(0)
    model = nn.Sequential(
        nn.Conv(3, 8, 3),
        BatchNorm2d(8, relu=True),
        nn.Dropout(0.3, is_train=True),
        nn.Conv(8, 4, 3),
    )

    def loss_of(images: np.ndarray, rng: BatchRandom) -> Losses:
        target = float(rng.shared.random())
        square = ((model(jt.array(images)) - target) ** 2).mean()
        return {"loss_square": LossTerm(square, 1.0)}

    try:
        weights = train(
            model,
            loss_of,
            batches,
            SETTINGS,
            seed=3,
            folder=Path(folder),
            progress=KillAt(kill_at, number),
        )
    except Interrupted:
        sys.exit(EXIT_CODE)
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    print(digest.hexdigest())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), getattr(signal, sys.argv[3]))
