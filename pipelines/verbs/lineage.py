"""`unidet lineage`: from one artefact back to the raw files, with who, where and at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unidet.console.terminal import duration, fold, size
from unidet.store import accepted
from unidet.store.accepted import Acceptance
from unidet.store.pins import pinned
from unidet.store.record import Action
from unidet.store.store import Store


@dataclass(frozen=True)
class RawFile:
    """Content from outside the store: its name in the stage, digest, and path at that time."""

    name: str
    digest: str
    path: str


@dataclass(frozen=True)
class Node:
    """One artefact of a chain.

    Attributes:
        state: `whole`, `incomplete` (content is missing) or `lost` (the record is gone too).
        inputs: name -> key.
        git: commit and dirty flag of the code, None where unknown.
        accepted: declarations that later code is equivalent to the code that made it.
        nondeterminism: other output digests that the same key has given.
    """

    stage: str
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


def lineage(action: Action, store: Store) -> list[Node]:
    """The artefact and all it was made from; every one before its inputs."""
    pins = pinned(store.layout)
    declared = accepted.everything(store.layout)
    found: dict[str, Node] = {}
    after: dict[str, None] = {}

    def visit(key: str, stage: str, one: Action | None) -> None:
        if key in found:
            return
        found[key] = (
            _node(one, store, pins, declared) if one else Node(stage, key, "lost", inputs={})
        )
        for name, upstream in found[key].inputs.items():
            visit(upstream, name, store.record(upstream))
        after[key] = None

    visit(action.key, action.stage, action)
    return [found[key] for key in reversed(after)]


def _node(one: Action, store: Store, pins: set[str], declared: list[Acceptance]) -> Node:
    files = one.preimage.get("files", {})
    return Node(
        stage=one.stage,
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
    """Declarations that make this artefact answer for later code, oldest first."""
    codes = {one.preimage.get("code")}
    for acceptance in declared:
        if acceptance.stage == one.stage and acceptance.equals in codes:
            codes.add(acceptance.code)
            yield acceptance


# --- telling -----------------------------------------------------------------------------------


def lines(nodes: list[Node]) -> list[str]:
    """The chain for a person, at most 80 columns wide."""
    names = {node.key: f"{node.stage} {node.output[:12]}" for node in nodes}
    found = [line for node in nodes for line in _tell(node, names)]
    known = [node for node in nodes if node.state != "lost"]
    total = duration(sum(node.seconds for node in known))
    weight = size(sum(node.bytes for node in known))
    return [*found, f"together {total} of computing, {weight} in {len(known)} artefacts"]


def _tell(node: Node, names: Mapping[str, str]) -> Iterator[str]:
    if node.state == "lost":
        yield f"{node.stage}: its record is no longer in the store (key {node.key[:12]})"
        return
    marks = ["pinned"] if node.pinned else []
    marks += ["content is missing"] if node.state == "incomplete" else []
    yield "  ".join([names[node.key], f"built {node.built:.16} UTC", *marks])
    yield from fold(f"on {node.host}, {duration(node.seconds)}, {size(node.bytes)}, {_git(node)}")
    yield from fold(node.command)
    for key in node.inputs.values():
        yield f"  ← {names[key]}"
    for file in node.files:
        yield from fold(f"← {file.name}: sha256 {file.digest[:12]} {file.path}".rstrip())
    for one in node.accepted:
        yield from fold(f"accepted for code {one.code[:12]} on {one.host}, {one.time:.16} UTC")
    if node.nondeterminism:
        others = ", ".join(output[:12] for output in node.nondeterminism)
        yield from fold(f"the same key has also given {others}")


def _git(node: Node) -> str:
    if node.git is None:
        return "no git checkout"
    edits = ", with edits" if node.git.get("dirty") else ""
    return f"commit {str(node.git.get('commit'))[:12]}{edits}"


def dot(nodes: list[Node]) -> str:
    """The chain as Graphviz source; artefacts are boxes, raw files are notes."""
    rows = ["digraph lineage {", "  rankdir=BT; node [shape=box];"]
    raw: dict[str, str] = {}
    for node in nodes:
        text = "\\n".join(label(node))
        rows.append(f"  {_quote(node.key)} [label={_quote(text)}];")
        rows += [f"  {_quote(key)} -> {_quote(node.key)};" for key in node.inputs.values()]
        for file in node.files:
            raw[file.digest] = file.name
            rows.append(f"  {_quote(file.digest)} -> {_quote(node.key)};")
    rows += [f"  {_quote(sha)} [shape=note label={_quote(name)}];" for sha, name in raw.items()]
    return "\n".join([*rows, "}"])


def label(node: Node) -> list[str]:
    """What a picture says of an artefact, line by line."""
    if node.state == "lost":
        return [node.stage, "record lost"]
    cost = f"{duration(node.seconds)}, {size(node.bytes)}"
    return [node.stage, node.output[:12], cost, f"{node.host}, {_git(node)}"]


def _quote(text: str) -> str:
    return '"' + text.replace('"', r"\"") + '"'
