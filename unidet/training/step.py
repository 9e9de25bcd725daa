"""One training step: forward and backward over the parts of a batch, one update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jittor as jt
import numpy as np
from jittor import nn

from unidet.config.training import TrainingConfig
from unidet.errors import UserError
from unidet.ops.sampling import BatchRandom
from unidet.ops.whole_batch import NoOthers, Parts, part_of
from unidet.training import ranks
from unidet.training.optimizer import Optimizer

LossOf = Callable[[Any, BatchRandom], Mapping[str, jt.Var]]
"""A batch and its random numbers to named scalars."""


@dataclass(frozen=True)
class Stepper:
    """Makes the update of one step from this process's share of a batch.

    `loss_of` sees one part at a time. Its values named "loss…" are averaged over parts and
    processes, and minimised; others, such as counts, are added up.
    """

    model: nn.Module
    loss_of: LossOf
    optimizer: Optimizer
    parts: int

    def __call__(self, share: Any, seed: tuple[int, int], rate_factor: float) -> dict[str, jt.Var]:
        """Values of this process, with the sum of the losses as "loss"."""
        shares = share.parts(self.parts) if self.parts > 1 else [share]
        first, size = 0, 0
        if self.parts > 1 or ranks.count() > 1:
            size = len(shares[0].sizes_N2)
            first = ranks.rank() * self.parts * size
        randoms = [(*seed, first + size * number) for number in range(self.parts)]
        answers = self._answers(shares, randoms)
        found = []
        for part, random, others in zip(shares, randoms, answers, strict=True):
            values = self._values(part, random, others)
            self.optimizer.add(values["loss"] / self.parts if self.parts > 1 else values["loss"])
            if self.parts > 1:
                jt.sync_all()  # so that no two parts' activations are in memory at once
            found.append(values)
        self.optimizer.step(rate_factor)
        return found[0] if self.parts == 1 else _together(found)

    def _values(self, part: Any, random: tuple[int, int, int], others: Parts) -> dict[str, jt.Var]:
        seed, step, first = random
        # For networks that draw from Jittor (dropout): what they draw must not depend on where the
        # run was resumed.
        jt.set_seed(int(np.random.SeedSequence(random).generate_state(1)[0] >> 1))
        with part_of(others):
            values = self.loss_of(part, BatchRandom(seed, step, first=first))
        total = sum(value for name, value in values.items() if name.startswith("loss"))
        return {"loss": total, **values}

    def _answers(self, shares: list[Any], randoms: list[tuple[int, int, int]]) -> list[Parts]:
        """What each part hears of the others; with several here, from a forward pass of its own."""
        if self.parts == 1:
            return [ranks.Ranks() if ranks.count() > 1 else NoOthers()]
        heard = []
        with _unchanged_statistics(self.model), jt.no_grad():
            for part, random in zip(shares, randoms, strict=True):
                listening = ranks.Listening()
                self._values(part, random, listening)
                heard.append(listening)
        return list(ranks.answers(heard))


def _together(found: list[dict[str, jt.Var]]) -> dict[str, jt.Var]:
    return {
        name: sum(values[name] for values in found) / (len(found) if name.startswith("loss") else 1)
        for name in found[0]
    }


@contextmanager
def _unchanged_statistics(model: nn.Module) -> Iterator[None]:
    """A pass that only counts must not move batch norm's running statistics."""
    held = {
        name: var.clone()
        for name, var in model.state_dict().items()
        if name.endswith(("running_mean", "running_var"))
    }
    jt.sync(list(held.values()))
    try:
        yield
    finally:
        for name, var in model.state_dict().items():
            if name in held:
                var.update(held[name].stop_grad())


def check_division(settings: TrainingConfig) -> None:
    """Refuse a batch that does not divide evenly into the parts of all processes.

    Raises:
        UserError: it does not.
    """
    pieces = settings.accumulate * ranks.count()
    if settings.batch_size % pieces:
        raise UserError(
            f"training.batch_size: {settings.batch_size} does not divide into {pieces} equal parts "
            f"(accumulate {settings.accumulate} × processes {ranks.count()})"
        )
