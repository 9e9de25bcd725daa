"""A loss before it is divided, as long as only a part of the batch has been seen.

A batch can be worked on in parts, one after another (gradient accumulation) or by several
processes. Sums and counts of the parts add up; whoever sees them all divides once, so that the
update is that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jittor as jt
import numpy as np


@dataclass(frozen=True)
class LossTerm:
    """weight * sum / count, where `sum` and `count` are those of one part.

    Attributes:
        sum: shape (1,), over the part's samples; it alone carries a gradient.
        count: what the part adds to the divisor; does not depend on weights, or is detached.
        weight: factor on the quotient, the same in all parts.
        least: the divisor is at least this; without any sample the sum is 0.
    """

    sum: jt.Var
    count: float
    weight: float = 1.0
    least: float = 1.0

    def share(self, count: float) -> jt.Var:
        """What this part adds to the value of the batch, all of whose counts add up to `count`."""
        mean = self.sum / float(max(count, self.least))
        return mean if self.weight == 1 else mean * self.weight

    @property
    def value(self) -> jt.Var:
        """The value of a batch in one piece."""
        return self.share(self.count)


Losses = Mapping[str, LossTerm]
"""By name: those that start with "loss" are minimized, the others logged."""


@dataclass(frozen=True)
class Pieces:
    """Losses of one part in pieces, worked on one after another with their gradients.

    What two pieces keep for those is never in memory at once, and nothing is computed twice.

    Attributes:
        shared: what all pieces start from.
        before: parameters that the losses depend on through `shared` alone.
        losses: of every piece, from `shared`; a term's count is that of the whole part.
    """

    shared: jt.Var
    before: Sequence[jt.Var]
    losses: Sequence[Callable[[jt.Var], Losses]]


def tally(number: float) -> LossTerm:
    """A number that is added up over parts: nothing is counted, so it is divided by 1."""
    return LossTerm(jt.array(np.array([number], np.float32)), 0.0)


def undivided(losses: Losses) -> dict[str, jt.Var]:
    """The values of a batch in one piece."""
    return {name: term.value for name, term in losses.items()}


def total(values: Mapping[str, jt.Var]) -> jt.Var:
    """Sum of those that are minimized."""
    return sum(value for name, value in values.items() if name.startswith("loss"))
