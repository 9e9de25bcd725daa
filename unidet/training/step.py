"""One training step: forward and backward over the parts of a batch, one update."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jittor as jt
import numpy as np
from jittor import nn

from unidet.config.training import TrainingConfig
from unidet.errors import UserError
from unidet.ops.loss_term import Losses, Pieces, total
from unidet.ops.sampling import BatchRandom
from unidet.training import ranks
from unidet.training.optimizer import Optimizer, trainable

LossOf = Callable[[Any, BatchRandom], Losses | Pieces]
"""A batch, or a part of one, and its random numbers to losses."""
Prepare = Callable[[Any, BatchRandom, Callable[[np.ndarray], np.ndarray]], Any]
"""A process's share of a batch, its random numbers and `ranks.anywhere` to what is divided."""


def as_it_is(share: Any, random: BatchRandom, anywhere: Callable[..., np.ndarray]) -> Any:
    """Nothing to prepare."""
    return share


@dataclass(frozen=True)
class Stepper:
    """Computes the update of one step from this process's share of a batch.

    `loss_of` sees one of `parts` parts at a time. Every part's sums are divided by the counts of
    all parts of all processes, so the gradients of the parts add up to that of the batch.
    """

    model: nn.Module
    loss_of: LossOf
    prepare: Prepare
    optimizer: Optimizer
    parts: int

    def __call__(self, share: Any, seed: tuple[int, int], rate_factor: float) -> dict[str, jt.Var]:
        """This process's part of every value, with the sum of the losses as "loss"."""
        shares = self._divided(share, seed)
        counts = self._counted(shares) if self.parts > 1 else None
        values: list[dict[str, jt.Var]] = []
        for part, random in shares:
            losses = self._losses(part, random)
            if isinstance(losses, Pieces):
                values += self._add_pieces(losses, counts)
            else:
                values.append(self._add(losses, counts)[0])
            if self.parts > 1:
                jt.sync_all()  # so that no two parts' activations are in memory at once
        self.optimizer.step(rate_factor)
        if len(values) == 1:
            return values[0]
        return {name: sum(part[name] for part in values) for name in values[0]}

    def _add(
        self,
        terms: Losses,
        counts: Mapping[str, float] | None,
        inputs: Sequence[jt.Var] = (),
        without: Collection[int] = (),
    ) -> tuple[dict[str, jt.Var], list[jt.Var]]:
        """Add the gradients to those of the update; gives the values and `inputs`' gradients."""
        counts = counts or ranks.added_up(_counts(terms))
        values = {name: term.share(counts[name]) for name, term in terms.items()}
        values = {"loss": total(values), **values}
        return values, self.optimizer.add(values["loss"], inputs, without=without)

    def _add_pieces(
        self, pieces: Pieces, counts: Mapping[str, float] | None
    ) -> list[dict[str, jt.Var]]:
        """Every piece's values; the gradient of what they share goes on once, as a sum."""
        before = {id(var) for var in pieces.before}
        behind = {id(var) for var in trainable(self.model).values()} - before
        learns = not pieces.shared.is_stop_grad()
        shared = pieces.shared.detach() if learns else pieces.shared
        found, gradient = [], 0.0
        for losses in pieces.losses:
            terms = losses(shared)
            counts = counts or ranks.added_up(_counts(terms))
            values, gradients = self._add(terms, counts, [shared] if learns else [], before)
            gradient = sum(gradients, gradient)
            found.append(values)
            jt.sync_all()  # so that no two pieces' activations are in memory at once
        if learns:
            self.optimizer.add((pieces.shared * gradient).sum(), without=behind)
        return found

    def _divided(self, share: Any, seed: tuple[int, int]) -> list[tuple[Any, tuple[int, ...]]]:
        """The parts, each with what its random numbers start from: seed, step, first image."""
        first, size = 0, 0
        if self.parts > 1 or ranks.count() > 1:
            size = len(share.sizes_N2) // self.parts
            first = ranks.rank() * self.parts * size
        prepared = self.prepare(share, BatchRandom(*seed, first=first), ranks.anywhere)
        parts = prepared.parts(self.parts) if self.parts > 1 else [prepared]
        return [(part, (*seed, first + size * row)) for row, part in enumerate(parts)]

    def _losses(self, part: Any, random: tuple[int, ...]) -> Losses | Pieces:
        # For networks that draw from Jittor (dropout): what they draw must not depend on where the
        # run was resumed.
        jt.set_seed(int(np.random.SeedSequence(random).generate_state(1)[0] >> 1))
        *seed, first = random
        losses = self.loss_of(part, BatchRandom(*seed, first=first))
        if ranks.count() > 1 and not isinstance(losses, Pieces):
            # Batch norm exchanges statistics on the way; every process must be through before the
            # next exchange, also one whose losses have no use for what another's have.
            jt.sync([term.sum for term in losses.values()])
        return losses

    def _counted(self, shares: list[tuple[Any, tuple[int, ...]]]) -> dict[str, float]:
        """The counts of all parts, from a forward pass of its own.

        Jittor computes what is asked for: of a network whose counts need none of its outputs,
        nothing.
        """
        counts: Counter[str] = Counter()
        with _unchanged_statistics(self.model), jt.no_grad():
            for part, random in shares:
                counts.update(_counts(self._losses(part, random)))
        return ranks.added_up(counts)


def _counts(losses: Losses | Pieces) -> dict[str, float]:
    if isinstance(losses, Pieces):
        losses = losses.losses[0](losses.shared)
    return {name: term.count for name, term in losses.items()}


@contextmanager
def _unchanged_statistics(model: nn.Module) -> Iterator[None]:
    """A pass that only counts must not change batch norm's running statistics."""
    statistics = {
        name: var.clone()
        for name, var in model.state_dict().items()
        if name.endswith(("running_mean", "running_var"))
    }
    jt.sync(list(statistics.values()))
    try:
        yield
    finally:
        for name, var in model.state_dict().items():
            if name in statistics:
                var.update(statistics[name].stop_grad())


def check_division(settings: TrainingConfig) -> None:
    """UserError if a batch cannot be divided evenly into the parts of all processes.

    Raises:
        UserError: it does not.
    """
    pieces = settings.accumulate * ranks.count()
    if settings.batch_size % pieces:
        raise UserError(
            f"training.batch_size: {settings.batch_size} does not divide into {pieces} equal parts "
            f"(accumulate {settings.accumulate} × processes {ranks.count()})"
        )
