"""Training holds no more after many steps than after a few; `benchmarks/flat.py` runs for long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jittor as jt
import numpy as np
from jittor import nn

from unidet.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.sampling import BatchRandom
from unidet.training.loop import train


class Held:
    """Progress that counts Jittor's live variables."""

    def __init__(self) -> None:
        self.variables: list[int] = []

    def update(self, done: int, total: int, note: str = "") -> None:
        self.variables.append(jt.liveness_info()["lived_vars"])


def test_live_variables_stay_as_many(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv(3, 4, 3), BatchNorm2d(4, relu=True), nn.Conv(4, 1, 3))
    settings = TrainingConfig(
        steps=40,
        batch_size=2,
        optimizer=OptimizerConfig(kind="adamw", lr=1e-3, weight_decay=0.01, clip_norm=1.0),
        schedule=ScheduleConfig(kind="cosine", warmup_steps=5),
        ema_decay=0.9,
        checkpoint_every=15,
    )

    def batches(start: int) -> Iterator[np.ndarray]:
        for step in range(start, settings.steps):
            rng = np.random.default_rng(step)
            yield rng.standard_normal((2, 3, *rng.integers(8, 20, 2))).astype(np.float32)

    def loss_of(images: np.ndarray, rng: BatchRandom) -> Losses:
        return {"loss_square": LossTerm((model(jt.array(images)) ** 2).mean(), 1.0)}

    held = Held()
    train(model, loss_of, batches, settings, seed=0, folder=tmp_path, progress=held)
    assert held.variables[-1] <= held.variables[4]
