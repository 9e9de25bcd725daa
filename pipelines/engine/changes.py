"""Why a stage would run: what changed since its nearest earlier artefact, down to the cause."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from unidet.config.study import Config
from unidet.console.terminal import moment
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.engine.graph import inputs_of, needed, targets
from unidet.pipelines.engine.keys import find, modules_of, preimage_of
from unidet.pipelines.engine.node import Node
from unidet.pipelines.wiring.study_sets import key_as_given
from unidet.store import accepted
from unidet.store.hashing import key_of
from unidet.store.record import Action
from unidet.store.store import Store

COMPARED = 100  # newest artefacts of a stage among which the nearest is looked for
SHOWN = 24  # characters of a value
ABSENT = "absent"


@dataclass(frozen=True)
class Change:
    """One difference between a stage as it would run now and an earlier run of it.

    Attributes:
        kind: `config`, `code`, `env`, `file`, `version`, `input`, or `content` (it was built with
            just this key, but blobs are missing or another output came out).
        node: whose difference it is.
        name: configuration field, module, package, file or input.
        old, new: what they were and are, as text.
        causes: of an input, what changed in the stage that makes it.
    """

    kind: str
    node: str
    name: str
    old: str = ""
    new: str = ""
    causes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Why:
    """`state` is fresh, stale or not built; `compared` is the time of the earlier artefact.

    `accepted` is the time when its code was declared equivalent to the present one, if it differs.
    """

    node: str
    state: str
    compared: str | None = None
    changes: tuple[Change, ...] = ()
    accepted: str | None = None


@dataclass(frozen=True)
class _Present:
    """A node as it would run now; contents of inputs that are not up to date are None.

    `codes` are digests of its code and of code that was declared equivalent.
    """

    node: Node
    config: Config
    preimage: Mapping[str, Any]
    codes: Sequence[str]
    modules: Mapping[str, str]
    inputs: Mapping[str, _Present] = field(default_factory=dict)
    built: Action | None = None


def why(target: str, config: Config) -> list[Why]:
    """For each artefact of a stage, or of one node, why it would be built, or that it is fresh.

    Raises:
        UserError: no such stage or node.
    """
    store = open_store(config)
    present = _present(target, config, store)
    return [_why(present[node], store) for node in targets(target, config)]


def _why(present: _Present, store: Store) -> Why:
    node, code = str(present.node), present.preimage["code"]
    if present.built is not None:
        declared = None
        if present.built.key != key_of(present.preimage):
            declared = next(accepted.chain(store.layout, present.node.stage, code)).time
        return Why(node, "fresh", present.built.finished, accepted=declared)
    earlier = _nearest(present, store)
    if earlier is None:
        return Why(node, "not built")
    return Why(node, "stale", earlier.finished, _changes(present, earlier, store))


def _present(target: str, config: Config, store: Store) -> dict[Node, _Present]:
    """The target and everything it needs."""
    by_node: dict[Node, _Present] = {}
    built: dict[Node, Action] = {}
    for node in needed(target, config):
        inputs = {name: by_node[entry.node] for name, entry in inputs_of(node, config).items()}
        preimage = preimage_of(node, config, store, built)
        complete = all(upstream.built is not None for upstream in inputs.values())
        action = find(preimage, store) if complete else None
        if action is not None:
            built[node] = action
        modules = modules_of(node, config, store)
        codes = accepted.codes(store.layout, preimage)
        by_node[node] = _Present(node, config, preimage, codes, modules, inputs, action)
    return by_node


def _nearest(present: _Present, store: Store) -> Action | None:
    """The earlier action of the same set with the fewest differences, the newest of equals."""
    mine = (a for a in store.actions(present.node.stage) if a.name == present.node.name)
    recent = list(islice(mine, COMPARED))
    distances: dict[tuple[Node, str], int] = {}
    return min(recent, key=lambda one: _distance(present, one, store, distances), default=None)


def _distance(
    present: _Present, earlier: Action, store: Store, known: dict[tuple[Node, str], int]
) -> int:
    """The number of differences, those of inputs that are not up to date included."""
    place = present.node, earlier.key
    if place not in known:
        known[place] = 0  # records from elsewhere may name each other
        inputs = earlier.preimage.get("inputs", {})
        count = len(_own_changes(present, earlier))
        for name, output in present.preimage["inputs"].items():
            before = _input_of(earlier, name, store) if output is None else None
            if before is None:
                count += inputs.get(name) != output
            else:
                count += _distance(present.inputs[name], before, store, known)
        known[place] = count
    return known[place]


def _input_of(action: Action, name: str, store: Store) -> Action | None:
    key = action.inputs.get(name)
    return store.readable(store.layout.record(key)) if key else None


def _changes(present: _Present, earlier: Action, store: Store) -> tuple[Change, ...]:
    changes = (*_own_changes(present, earlier), *_input_changes(present, earlier, store))
    # Nothing differs although it is not fresh: its blobs are gone, or they came out differently.
    return changes or (Change("content", str(present.node), str(present.node)),)


def _own_changes(present: _Present, earlier: Action) -> list[Change]:
    """Differences of the stage itself, without its inputs."""
    old, new, node = earlier.preimage, present.preimage, str(present.node)
    changes = [
        Change("config", node, _as_given(present, name), before, now)
        for name, before, now in differences_of(old.get("config", {}), new.get("config", {}))
    ]
    changes += [
        Change(kind, node, *row)
        for kind, part in (("env", "env"), ("file", "files"))
        for row in differences_of(old.get(part, {}), new.get(part, {}))
    ]
    changes += [
        Change("version", node, part, text_of(old.get(part)), text_of(new[part]))
        for part in ("schema", "stage_version")
        if old.get(part) != new[part]
    ]
    if old.get("code") not in present.codes:
        rows = list(differences_of(earlier.modules, present.modules))
        changes += [Change("code", node, *row) for row in rows or [("", "", "")]]
    return changes


def _as_given(present: _Present, name: str) -> str:
    """The key as a user gives it; a node of a dataset has shorter names for its own values."""
    if not (present.node.name and name.startswith("data.")):
        return name
    return key_as_given(present.config, present.node.name, name)


def _input_changes(present: _Present, earlier: Action, store: Store) -> Iterator[Change]:
    old, new = earlier.preimage.get("inputs", {}), present.preimage["inputs"]
    for name in sorted({*old, *new}):
        if name not in new or name not in old:
            words = (ABSENT, "read") if name in new else ("read", ABSENT)
            yield Change("input", str(present.node), name, *words)
        elif old[name] != new[name]:
            upstream = present.inputs[name]
            before = _input_of(earlier, name, store) or _nearest(upstream, store)
            causes = _changes(upstream, before, store) if before else ()
            yield Change(
                "input", str(present.node), name, text_of(old[name]), text_of(new[name]), causes
            )


def differences_of(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Leaves that differ, as (dotted name, old, new), long values in short."""
    for name in sorted({*old, *new}):
        before, now = old.get(name, _NOTHING), new.get(name, _NOTHING)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from differences_of(before, now, f"{prefix}{name}.")
        elif before != now:
            yield f"{prefix}{name}", *_texts(before, now)


_NOTHING = object()


def _texts(old: Any, new: Any) -> tuple[str, str]:
    """Both in short; of long ones, the part where they begin to differ."""
    before, now = _whole_text(old), _whole_text(new)
    pairs = enumerate(zip(before, now, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(before), len(now)))
    start = 0 if same < SHOWN - 1 else same - SHOWN // 2
    return _cut(before, start), _cut(now, start)


def text_of(value: Any) -> str:
    """A value in short."""
    return _cut(_whole_text(value), 0)


def _whole_text(value: Any) -> str:
    if value is _NOTHING:
        return ABSENT
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str, start: int) -> str:
    """`SHOWN` characters of a text from `start` on."""
    if text == ABSENT or len(text) <= SHOWN:
        return text
    end = "…" if len(text) > start + SHOWN - 1 else ""
    return f"{'…' if start else ''}{text[start : start + SHOWN - 1]}{end}"


def changed_values(target: str, config: Config) -> dict[str, tuple[str, str]]:
    """The values of the configuration because of which artefacts would be built: key -> (old, new).

    Raises:
        UserError: no such stage or node.
    """
    return {
        change.name: (change.old, change.new)
        for answer in why(target, config)
        for change in _leaves(answer.changes)
        if change.kind == "config"
    }


def _leaves(changes: Iterable[Change]) -> Iterator[Change]:
    """Differences of stages themselves, not of their inputs."""
    for change in changes:
        yield from _leaves(change.causes) if change.kind == "input" else (change,)


# --- telling -----------------------------------------------------------------------------------


def lines(answer: Why) -> list[str]:
    """The answer as text."""
    if answer.compared is None:
        return [f"{answer.node}: not built"]
    if answer.state == "fresh":
        fresh = [f"{answer.node}: fresh, built {moment(answer.compared)}"]
        if answer.accepted:
            fresh.append(f"  by other code, accepted as equivalent {moment(answer.accepted)}")
        return fresh
    head = f"{answer.node}: stale, compared with the artefact of {moment(answer.compared)}"
    return [head, *(f"  {line}" for line in _told(answer.changes))]


def _told(changes: Iterable[Change]) -> Iterator[str]:
    """A line for each difference of the stage itself, and one for each cause of changed inputs: a
    change of code reaches a stage on many ways, from many stages."""
    reached: dict[str, tuple[str, dict[str, None]]] = {}
    for change in changes:
        if not change.causes:
            yield _leaf(change)
        for node, text in chain.from_iterable(map(_causes, change.causes)):
            reached.setdefault(text, (change.name, {}))[1][node] = None
    for text, (name, nodes) in reached.items():
        first, *others = nodes
        more = f" and {len(others)} more" if others else ""
        yield f"input {name} changed ← {f'{first}{more}: ' if first else ''}{text}"


def _causes(change: Change) -> Iterator[tuple[str, str]]:
    """Node and text of the leaves below a change, which the user can act on, not the way there.

    Values of the configuration are told without the node.
    """
    if change.kind == "config":
        yield "", _leaf(change).removeprefix("config ")
    elif not change.causes:
        yield change.node, _leaf(change)
    for cause in change.causes:
        yield from _causes(cause)


def _leaf(change: Change) -> str:
    if change.kind == "input":
        if change.new == ABSENT:
            return f"input {change.name} is no longer read"
        return (
            f"input {change.name} {'is new' if change.old == ABSENT else 'is not built any more'}"
        )
    if change.kind == "content":
        return "content missing, or made again with another result"
    if change.kind == "code":
        if change.old in ("", ABSENT) or change.new == ABSENT:
            word = {"": "changed", ABSENT: "added"}.get(change.old, "no longer used")
            return f"code {change.name} {word}".replace("  ", " ")
        return f"code {change.name} changed"
    if change.kind == "file" and ABSENT not in (change.old, change.new):
        return f"file {change.name} has other content"
    return f"{change.kind} {change.name} {change.old} → {change.new}"
