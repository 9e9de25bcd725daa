"""Loss terms as sums and counts, so that the parts of a batch can be added up.

Gradient accumulation processes the parts of a batch one after another, data-parallel training in
several processes. Sums and counts of the parts are added and divided once, so that the update is
that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jittor as jt
import numpy as np


@dataclass(frozen=True)
class LossTerm:
    """Contribution of one part of a batch to the loss weight * sum / max(count, least).

    Attributes:
        sum: (1,), over the samples of the part; the only attribute with a gradient.
        count: what the part adds to the divisor, without a gradient.
        weight: factor of the loss, the same in all parts.
        least: lower limit of the divisor, for batches without samples.
    """

    sum: jt.Var
    count: float
    weight: float = 1.0
    least: float = 1.0

    def share(self, count: float) -> jt.Var:
        """This part's share of the batch's loss; `count` is the sum of the counts of all parts."""
        mean = self.sum / float(max(count, self.least))
        return mean if self.weight == 1 else mean * self.weight

    @property
    def value(self) -> jt.Var:
        """The loss of a batch that has only this part."""
        return self.share(self.count)


Losses = Mapping[str, LossTerm]
"""Terms by name. Those whose name starts with "loss" are minimized; the others are only logged."""


@dataclass(frozen=True)
class Pieces:
    """Losses of one part of a batch in pieces, each computed and differentiated before the next.

    Activations of only one piece are in memory at a time, and nothing is computed twice.

    Attributes:
        shared: the input of all pieces.
        before: parameters that the losses depend on only through `shared`.
        losses: functions of `shared`, one per piece. The count of a term is that of the whole part.
    """

    shared: jt.Var
    before: Sequence[jt.Var]
    losses: Sequence[Callable[[jt.Var], Losses]]


def tally(number: float) -> LossTerm:
    """Term of a number that is summed over the parts: its count is 0, so the divisor is 1."""
    return LossTerm(jt.array(np.array([number], np.float32)), 0.0)


def loss_values(losses: Losses) -> dict[str, jt.Var]:
    """Losses by name of a batch that has only one part."""
    return {name: term.value for name, term in losses.items()}


def total(values: Mapping[str, jt.Var]) -> jt.Var:
    """Sum of the losses that are minimized."""
    return sum(value for name, value in values.items() if name.startswith("loss"))
