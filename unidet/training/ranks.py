"""The processes that train one network together; one alone is the usual case.

`mpirun` starts them, and every one of them makes the same collective calls in the same order: what
is asked here must be asked by all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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


def mean(values: np.ndarray) -> np.ndarray:
    """Elementwise mean over all processes, float32."""
    if not jt.in_mpi:
        return values
    return jt.array(np.asarray(values, np.float32)).mpi_all_reduce("mean").numpy()


def gather(values: np.ndarray) -> np.ndarray:
    """(ranks, K) the (K,) numbers of every process, float32."""
    table = np.zeros((count(), len(values)), np.float32)
    table[rank()] = values
    return mean(table) * count()


def anywhere(flag: bool) -> bool:
    """Whether it is so in any process."""
    return bool(mean(np.array([float(flag)]))[0] > 0)


def wait_for_all() -> None:
    """Return when every process has called this."""
    mean(np.zeros(1))


def share_weights(model: nn.Module) -> None:
    """Give every process the first one's weights."""
    model.mpi_param_broadcast()


def padded_alike(batch: Batch) -> Batch:
    """The batch with its images padded to the largest height and width of all processes'."""
    if not jt.in_mpi:
        return batch
    own = batch.images_NCHW.shape[2:]
    largest = gather(np.array(own)).max(axis=0).astype(int)
    extra = [
        (0, 0),
        (0, 0),
        *((0, int(most) - side) for most, side in zip(largest, own, strict=True)),
    ]
    batch.images_NCHW = np.pad(batch.images_NCHW, extra)
    return batch


class Ranks:
    """Tells the parts that the processes hold each other's counts; see `ops.whole_batch`."""

    def mean(self, number: float) -> float:
        return float(mean(np.array([number]))[0])

    def union(self, flags: np.ndarray) -> np.ndarray:
        return mean(flags.astype(np.float32)) > 0


class Listening:
    """One part at a time: notes what it counts, and answers as if it were alone."""

    def __init__(self) -> None:
        self.counts: list[float] = []
        self.flags: list[np.ndarray] = []

    def mean(self, number: float) -> float:
        self.counts.append(number)
        return number

    def union(self, flags: np.ndarray) -> np.ndarray:
        self.flags.append(flags)
        return flags


class Answering:
    """Answers one part's questions, in their order, with what is known of all parts."""

    def __init__(self, counts: list[float], flags: list[np.ndarray]) -> None:
        self._counts, self._flags = iter(counts), iter(flags)

    def mean(self, number: float) -> float:
        return next(self._counts)

    def union(self, flags: np.ndarray) -> np.ndarray:
        return next(self._flags)


def answers(heard: list[Listening]) -> list[Answering]:
    """For each part what all of them said, here and in the other processes."""
    over = Ranks()
    counts = zip(*(part.counts for part in heard), strict=True)
    flags = zip(*(part.flags for part in heard), strict=True)
    means = [over.mean(float(np.mean(numbers))) for numbers in counts]
    unions = [over.union(np.any(parts, axis=0)) for parts in flags]
    return [Answering(means, unions) for _ in heard]


def local_gradients(backward: Callable[[], None]) -> None:
    """Call `backward` without Jittor's own sharing of gradients.

    It shares each parameter's alone, in an order that it finds by itself; where the processes'
    graphs differ (one has no region on some pyramid level) nothing makes those orders agree.
    """
    before, jt.in_mpi = jt.in_mpi, False
    try:
        backward()
    finally:
        jt.in_mpi = before


def mean_gradients(gradients: list[jt.Var]) -> None:
    """Replace the gradients by their means over all processes, in one exchange."""
    if not jt.in_mpi:
        return
    jt.sync(gradients)
    flat = jt.concat([gradient.flatten() for gradient in gradients]).mpi_all_reduce("mean")
    start = 0
    for gradient in gradients:
        size = gradient.numel()
        gradient.update(flat[start : start + size].reshape(gradient.shape).stop_grad())
        start += size


def shared_numbers(numbers: Mapping[str, float]) -> dict[str, float]:
    """Numbers of one step over all processes: losses are averaged, other values added up."""
    if not jt.in_mpi:
        return dict(numbers)
    means = mean(np.array(list(numbers.values())))
    return {
        name: float(value) * (1 if name.startswith("loss") else count())
        for name, value in zip(numbers, means, strict=True)
    }
