"""The processes that train one network together; usually there is only one.

`mpirun` starts them, and every one of them makes the same collective calls in the same order: every
call here must be made by all.
"""

from __future__ import annotations

from collections.abc import Mapping

import jittor as jt
import numpy as np
from jittor import nn

from unidet.records import Batch


def rank() -> int:
    """The number of this process; 0 writes checkpoints and logs."""
    return jt.rank if jt.in_mpi else 0


def count() -> int:
    """How many processes there are."""
    return jt.world_size if jt.in_mpi else 1


def total(values: np.ndarray) -> np.ndarray:
    """Elementwise sum over all processes, float32."""
    if not jt.in_mpi:
        return values
    return jt.array(np.asarray(values, np.float32)).mpi_all_reduce("add").numpy()


def anywhere(flags: np.ndarray) -> np.ndarray:
    """Elementwise logical or over all processes; bool."""
    return total(np.asarray(flags, np.float32)) > 0


def wait_for_all() -> None:
    """Return when every process has called this."""
    total(np.zeros(1))


def share_weights(model: nn.Module) -> None:
    """Give every process the first one's weights."""
    model.mpi_param_broadcast()


def padded_alike(batch: Batch) -> Batch:
    """The batch with its images padded to the largest height and width among all processes."""
    if not jt.in_mpi:
        return batch
    own = batch.images_NCHW.shape[2:]
    sides = np.zeros((count(), 2))
    sides[rank()] = own
    largest = total(sides).max(axis=0).astype(int)
    extra = [
        (0, 0),
        (0, 0),
        *((0, int(most) - side) for most, side in zip(largest, own, strict=True)),
    ]
    batch.images_NCHW = np.pad(batch.images_NCHW, extra)
    return batch


def add_up_gradients(gradients: list[jt.Var]) -> None:
    """Replace the gradients by their sums over all processes, in one exchange.

    Jittor's optimizers share each parameter's alone, in an order that they find by themselves;
    where the processes' graphs differ (one has no region on some pyramid level) nothing makes
    those orders agree.
    """
    if not jt.in_mpi:
        return
    jt.sync(gradients)
    flat = jt.concat([gradient.flatten() for gradient in gradients]).mpi_all_reduce("add")
    start = 0
    for gradient in gradients:
        size = gradient.numel()
        gradient.update(flat[start : start + size].reshape(gradient.shape).stop_grad())
        start += size


def added_up(numbers: Mapping[str, float]) -> dict[str, float]:
    """Sums over all processes of the numbers of one name each; all have the same names."""
    if not jt.in_mpi:
        return dict(numbers)
    sums = total(np.array(list(numbers.values())))
    return {name: float(value) for name, value in zip(numbers, sums, strict=True)}
