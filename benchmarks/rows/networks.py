"""The full-size networks: inference and training steps of one image, 3 x 800 x 1088.

The trunk is timed beside PyTorch; the history tells how the others change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from side_by_side import Row

TITLES = {
    "trunk": "backbone and FPN, forward",
    "stage1": "stage 1, inference",
    "stage1-step": "stage 1, training step",
    "stage1-step-2": "stage 1, training step of 2 images",
    "stage2-100": "stage 2, 100 proposals, 1,230 names",
    "stage2-300": "stage 2, 300 proposals, 1,230 names",
    "stage2-step": "stage 2, training step of 512 regions",
    "rtdetr": "RT-DETR-R18vd, 640 x 640",
}


def work(name: str, program: str, folder: Path) -> Callable[[], Any]:
    if program == "PyTorch":
        from rows.trunk_in_torch import trunk

        return trunk()
    from unidet.backend.runtime import bring_up

    bring_up("cpu")
    from rows.full_size import WORKS

    return WORKS[name]()


def _row(name: str, others: tuple[str, ...] = (), goal: float | None = None) -> Row:
    return Row(name, TITLES[name], ("unidet", *others), partial(work, name), goal, warm_up=2)


ROWS = [
    _row("trunk", ("PyTorch",), 0.75),
    *(_row(name) for name in TITLES if name != "trunk"),
]
