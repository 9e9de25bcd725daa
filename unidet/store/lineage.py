"""Lineage of an artefact back to the raw files: commands, hosts, code and compute time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unidet.store import accepted
from unidet.store.accepted import Acceptance
from unidet.store.pins import pinned
from unidet.store.record import Action
from unidet.store.store import Store


@dataclass(frozen=True)
class RawFile:
    """A file from outside the store: its name in the stage, its digest, and its path then."""

    name: str
    digest: str
    path: str


@dataclass(frozen=True)
class Node:
    """One artefact of a lineage.

    Attributes:
        label: the stage, and the dataset or vocabulary that the artefact was made for.
        state: `whole`, `incomplete` (content is missing) or `lost` (the record is missing too).
        inputs: name -> key.
        git: commit and dirty flag of the code, None where unknown.
        accepted: declarations that later code is equivalent to the code that made it.
        nondeterminism: digests of other outputs that runs with the same key gave.
    """

    stage: str
    label: str
    key: str
    state: str
    output: str = ""
    built: str = ""
    host: str = ""
    command: str = ""
    seconds: float = 0.0
    bytes: int = 0
    git: Mapping[str, Any] | None = None
    pinned: bool = False
    inputs: Mapping[str, str] = ()  # type: ignore[assignment]
    files: tuple[RawFile, ...] = ()
    accepted: tuple[Acceptance, ...] = ()
    nondeterminism: tuple[str, ...] = ()


def lineage(actions: Iterable[Action], store: Store) -> list[Node]:
    """The artefacts and all their direct and indirect inputs; each before its inputs."""
    pins = pinned(store.layout)
    declared = accepted.everything(store.layout)
    found: dict[str, Node] = {}
    after: list[str] = []
    given = {action.key: action for action in actions}
    pending = [(action.label, key, False) for key, action in reversed(given.items())]
    while pending:
        label, key, has_inputs = pending.pop()
        if has_inputs:
            after.append(key)
        elif key not in found:
            action = given.get(key) or store.record(key)
            found[key] = (
                _node(action, store, pins, declared)
                if action
                else Node(label, label, key, "lost", inputs={})
            )
            inputs = [(name, upstream, False) for name, upstream in found[key].inputs.items()]
            pending += [(label, key, True), *reversed(inputs)]
    return [found[key] for key in reversed(after)]


def direct_inputs(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """Key -> keys of its inputs, without those that are also inputs of another of its inputs.

    `nodes` are ordered as `lineage` returns them, each before its inputs.
    """
    above: dict[str, set[str]] = {}
    direct: dict[str, list[str]] = {}
    for node in reversed(nodes):
        inputs = dict.fromkeys(node.inputs.values())
        indirect = {far for key in inputs for far in above.get(key, ())}
        above[node.key] = indirect.union(inputs)
        direct[node.key] = [key for key in inputs if key not in indirect]
    return direct


def _node(one: Action, store: Store, pins: set[str], declared: list[Acceptance]) -> Node:
    files = one.preimage.get("files", {})
    return Node(
        stage=one.stage,
        label=one.label,
        key=one.key,
        state="whole" if store.is_complete(one) else "incomplete",
        output=one.output,
        built=one.finished,
        host=one.host,
        command=one.command,
        seconds=one.seconds,
        bytes=one.size,
        git=one.git,
        pinned=one.key in pins,
        inputs=dict(one.inputs),
        files=tuple(RawFile(name, sha, one.sources.get(name, "")) for name, sha in files.items()),
        accepted=tuple(_later(one, declared)),
        nondeterminism=one.nondeterminism,
    )


def _later(one: Action, declared: list[Acceptance]) -> Iterator[Acceptance]:
    """Declarations that make this artefact valid for later code, oldest first."""
    codes = {one.preimage.get("code")}
    for acceptance in declared:
        if acceptance.stage == one.stage and acceptance.equals in codes:
            codes.add(acceptance.code)
            yield acceptance
