"""The full-size networks compared with PyTorch: inference and training steps.

Batches have one or two images of 3 x 800 x 1088. Weights are equal. The PyTorch networks
(benchmarks/in_torch) are plain modules that compute what the official code computes, with a
multi-threaded RoIAlign. If their first results differ from unidet's, the row fails.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from same_results import check, first_results
from side_by_side import Row

UNCOMPARED = ("stage1-1000",)  # its result differs by design
ROUGHLY = ("stage1-step", "stage1-step-2", "stage2-step")
"""Rows with a larger tolerance.

Some proposals have nearly equal scores, and which of them are sampled depends on their order. With
the same regions the losses are equal to 1e-6.
"""


def work(name: str, program: str, folder: Path) -> Callable[[], Any]:
    results = folder / f"{name}.npz"
    if program == "PyTorch":
        from in_torch.works import WORKS

        work = WORKS[name]()
        if name not in UNCOMPARED:
            check(first_results(work), results, 0.02 if name in ROUGHLY else 1e-3)
    else:
        from unidet.backend.runtime import bring_up

        bring_up("cpu")
        from rows.full_size import WORKS

        work = WORKS[name]()
        np.savez(results, **first_results(work))
    return work.run


def _row(name: str, title: str, goal: float, memory_goal: float | None = None) -> Row:
    programs = ("unidet", "PyTorch")
    timed = partial(work, name)
    return Row(name, title, programs, timed, goal=goal, memory_goal=memory_goal, warm_up=1)


ROWS = [
    _row("trunk", "backbone and FPN, forward", 0.75),
    _row("stage1", "stage 1, inference, 7,071 regions", 0.38),
    _row("stage1-1000", "stage 1, inference, 1,000 regions after NMS; PyTorch 7,071", 0.24),
    _row("stage1-step", "stage 1, training step", 0.68, 0.8),
    _row("stage1-step-2", "stage 1, training step of 2 images", 0.68, 0.8),
    _row("stage2-100", "stage 2, 100 proposals, 1,230 names", 0.5, 0.9),
    _row("stage2-300", "stage 2, 300 proposals, 1,230 names", 0.4, 0.9),
    _row("stage2-step", "stage 2, training step of 512 regions", 0.47, 0.7),
    _row("rtdetr", "RT-DETR-R18vd, 640 x 640", 0.75),
    _row("detr", "DETR with a ResNet-50, 800 x 1088", 0.75),
]
