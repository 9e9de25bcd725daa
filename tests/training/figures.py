"""What of a training step is bookkeeping: python tests/training/figures.py FOLDER [STEPS].

Trains the toy study's `rpn` on few scenes for STEPS steps (100) in a store below FOLDER, and prints
the share of each piece of bookkeeping in the time of the steps after the first twenty, in which
kernels are compiled. The only checkpoint is written after the last step; its time is spread over
`training.checkpoint_every` steps.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

WARM = 20
spent: dict[str, float] = defaultdict(float)
clock: list[float] = []


def timed(holder: Any, name: str, label: str) -> None:
    """Count the time in `holder.name` under `label`, from step WARM on."""
    original: Callable = getattr(holder, name)

    def wrapper(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*given, **named)
        finally:
            if len(clock) > WARM:
                spent[label] += time.perf_counter() - started

    setattr(holder, name, wrapper)


def main(folder: str, steps: int) -> None:
    from unidet.cli import compose
    from unidet.pipelines.engine.engine import bring_up_jittor, run

    config = compose(
        [
            "stage=rpn",
            f"store.root={folder}",
            "data.train_scenes=64",
            "data.val_scenes=4",
            "data.dev_scenes=4",
            "data.clip_scenes=4",
            "data.clip_test_scenes=4",
            "rpn.network.initialize=none",
            f"rpn.training.steps={steps}",
            f"rpn.training.checkpoint_every={steps}",
        ]
    )
    bring_up_jittor(config)
    import jittor as jt

    from unidet.console.terminal import Progress
    from unidet.training import loop
    from unidet.training.log import TrainingLog
    from unidet.training.sanity import Sanity

    timed(jt, "set_seed", "seed")
    timed(Sanity, "check", "sanity")
    timed(TrainingLog, "write", "log")
    timed(loop, "save_checkpoint", "checkpoint")
    timed(loop.ranks, "anywhere", "request to stop")
    update = Progress.update

    def progress(self: Progress, done: int, total: int, note: str = "") -> None:
        if "training" in self._label:
            clock.append(time.perf_counter())
        update(self, done, total, note)

    Progress.update = progress
    timed(Progress, "update", "progress")
    run(config)

    every = compose(["stage=rpn"]).rpn.training.checkpoint_every
    step = (clock[-1] - clock[WARM]) / (len(clock) - 1 - WARM)
    print(f"a step: {step * 1000:.1f} ms")
    total = 0.0
    for label, seconds in spent.items():
        share = seconds / (every if label == "checkpoint" else len(clock) - 1 - WARM) / step
        total += share
        print(f"{label:<16} {share:8.4%}")
    print(f"{'all bookkeeping':<16} {total:8.4%}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100)
