"""A training run's whole state in one file, replaced atomically."""

from __future__ import annotations

import os
from pathlib import Path

import jittor as jt
import numpy as np
from jittor import nn
from safetensors.numpy import load_file, save_file

from unidet.training.average import WeightAverage
from unidet.training.optimizer import Optimizer

FILE = "checkpoint.safetensors"


def save_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: Optimizer, average: WeightAverage | None
) -> None:
    """Write all there is to resume from; the old file stays until the new one is whole."""
    arrays = {f"model/{name}": var.numpy() for name, var in model.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in optimizer.state().items()}
    if average:
        arrays |= {f"average/{name}": array for name, array in average.state().items()}
    arrays["step"] = np.array([step], np.int64)
    draft = folder / f"{FILE}.draft"
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, draft)
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.replace(folder / FILE)


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer, average: WeightAverage | None
) -> int:
    """Restore the state in `folder`; returns the number of finished steps, 0 where none."""
    if not (folder / FILE).exists():
        return 0
    arrays = load_file(folder / FILE)
    for name, var in model.state_dict().items():
        var.update(_like(var, arrays[f"model/{name}"]))
    optimizer.load(_below(arrays, "optimizer/"))
    if average:
        average.load(_below(arrays, "average/"))
    # Now, for a value that is still a pending array is compiled into the kernels that read it:
    # others than the uninterrupted run's, and Jittor's compiler fails on one-element arrays.
    jt.sync_all()
    return int(arrays["step"][0])


def _like(var: jt.Var, array: np.ndarray) -> jt.Var:
    fresh = jt.array(array)
    return fresh.stop_grad() if var.is_stop_grad() else fresh


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
