"""Does training grow? python tests/training/memory.py cln|nanodet_plus|rtdetr|detr STEPS

Trains the network through unidet's one trainer on made-up images of changing size and number of
boxes, with AdamW, clipping, warm-up, a cosine, a moving average and checkpoints. Prints Jittor's
live variables and operations and the process' resident memory ten times. Kernels are compiled in
the first steps.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unidet.backend.runtime import bring_up
from unidet.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from unidet.records import Batch

sys.path.append(str(Path(__file__).parents[1]))  # where this is run as a script
import networks

IMAGES, SIDES = 2, (64, 96)
sys.path.append(str(Path(__file__).resolve().parents[1]))  # batches.py


def cln() -> Any:
    from small_networks import cln

    return cln(batch_norm_training=True)


def nanodet_plus() -> Any:
    from unidet.models.nanodet_plus.detector import NanoDetPlus

    settings = networks.small_nanodet_plus(detach_epoch=10)
    return NanoDetPlus(settings, classes=1, auxiliary=True)


def rtdetr() -> Any:
    from unidet.models.rtdetr.network import RTDETR

    return RTDETR(networks.rtdetr(queries=10), classes=1)


def detr() -> Any:
    from unidet.models.detr.network import DETR

    return DETR(networks.detr(queries=10), classes=1)


NETWORKS: dict[str, Callable[[], Any]] = {
    build.__name__: build for build in (cln, nanodet_plus, rtdetr, detr)
}


def batch(step: int) -> Batch:
    """Two images of a step's own, each with up to five boxes."""
    from batches import make_batch

    rng = np.random.default_rng(step)
    side = int(rng.choice(SIDES))
    boxes = [_boxes(rng, int(rng.integers(6)), side) for _ in range(IMAGES)]
    return make_batch(rng.standard_normal((IMAGES, 3, side, side)), boxes, epoch=step // 20)


def _boxes(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    corners = rng.uniform(0, side / 2, (count, 2))
    far = corners + rng.uniform(8, side / 2, (count, 2))
    return np.concatenate([corners, far], axis=1).astype(np.float32)


def settings(steps: int) -> TrainingConfig:
    return TrainingConfig(
        steps=steps,
        batch_size=IMAGES,
        optimizer=OptimizerConfig(kind="adamw", lr=1e-4, weight_decay=0.01, clip_norm=1.0),
        schedule=ScheduleConfig(kind="cosine", warmup_steps=20),
        ema_decay=0.999,
        checkpoint_every=steps // 10,
    )


class Watch:
    """Progress that prints what is held."""

    def update(self, done: int, total: int, note: str = "") -> None:
        import jittor as jt

        if done % (total // 10):
            return
        held = jt.liveness_info()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(
            f"step {done:5d}  live variables {held['lived_vars']:6d}  "
            f"operations {held['lived_ops']:6d}  "
            f"resident {pages * os.sysconf('SC_PAGE_SIZE') / 2**20:7.1f} MiB  {note}",
            flush=True,
        )


def main(name: str, steps: int) -> None:
    bring_up("cpu")
    import jittor as jt

    from unidet.training.loop import train

    jt.set_global_seed(0)
    network = NETWORKS[name]()

    def batches(start: int) -> Iterator[Batch]:
        return map(batch, range(start, steps))

    with tempfile.TemporaryDirectory() as folder:
        train(
            network,
            network.loss,
            batches,
            settings(steps),
            seed=0,
            folder=Path(folder),
            progress=Watch(),
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
