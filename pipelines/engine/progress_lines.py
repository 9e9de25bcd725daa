"""The lines that a run prints about finished nodes; cached nodes of a stage share one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unidet.console.terminal import duration, say, size
from unidet.pipelines.engine.node import Node
from unidet.store.record import Action
from unidet.store.runs import How


@dataclass(frozen=True)
class Done:
    """A finished node and how its artefact was obtained: `cached`, `fetched`, `ran`, `resumed`."""

    node: Node
    how: How
    seconds: float
    action: Action
    folder: Path


class Lines:
    """Prints every node at once, but the cached ones of a stage only when the stage is over."""

    def __init__(self) -> None:
        self._cached: list[Done] = []

    def add(self, done: Done) -> None:
        if self._cached and self._cached[0].node.stage != done.node.stage:
            self.flush()
        if done.how == "cached":
            self._cached.append(done)
        else:
            self.flush()
            say(_line(str(done.node), done.how, duration(done.seconds), done.action.size))

    def flush(self) -> None:
        """Print what is still held back."""
        if not self._cached:
            return
        first, *others = self._cached
        label = f"{first.node.stage} ({1 + len(others)})" if others else str(first.node)
        say(_line(label, "cached", "", sum(done.action.size for done in self._cached)))
        self._cached = []


def _line(label: str, how: str, took: str, size_bytes: int) -> str:
    """`proposals[val]           ran       1 min 40 s    3.4 MB`"""
    return f"{label:<32} {how:<8} {took:>12} {size(size_bytes):>10}"
