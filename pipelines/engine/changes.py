"""Why a stage would run: what has changed since its nearest earlier artefact, to the cause."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from unidet.config.study import Config
from unidet.pipelines.engine.engine import find, modules_of, open_store, preimage_of
from unidet.pipelines.engine.graph import needed
from unidet.store.accepted import chain
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
        stage: whose difference it is.
        name: configuration field, module, package, file or input.
        old, new: what they were and are, as text.
        causes: of an input, what changed in the stage that makes it.
    """

    kind: str
    stage: str
    name: str
    old: str = ""
    new: str = ""
    causes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Why:
    """`state` is fresh, stale or never built; `compared` is the time of the earlier artefact.

    `accepted` is the time when its code was declared equivalent to the present one, if it differs.
    """

    stage: str
    state: str
    compared: str | None = None
    changes: tuple[Change, ...] = ()
    accepted: str | None = None


@dataclass(frozen=True)
class _Present:
    """A stage as it would run now; outputs of inputs that are not up to date are None."""

    stage: str
    preimage: Mapping[str, Any]
    modules: Mapping[str, str]
    inputs: Mapping[str, _Present] = field(default_factory=dict)
    built: Action | None = None


def why(name: str, config: Config) -> Why:
    """Why `name` would run, or that it would not.

    Raises:
        UserError: no such stage.
    """
    store = open_store(config)
    present = _present(name, config, store)
    if present.built is not None:
        accepted = None
        if present.built.key != key_of(present.preimage):
            accepted = next(chain(store.layout, name, present.preimage["code"])).time
        return Why(name, "fresh", present.built.finished, accepted=accepted)
    earlier = _nearest(present, store)
    if earlier is None:
        return Why(name, "never built")
    return Why(name, "stale", earlier.finished, _changes(present, earlier, store))


def _present(name: str, config: Config, store: Store) -> _Present:
    known: dict[str, _Present] = {}
    for stage in needed(name, config):
        inputs = {one: known[one] for one in stage.inputs(config)}
        built = {one: found.built for one, found in inputs.items() if found.built is not None}
        preimage = preimage_of(stage, config, store, built)
        complete = len(built) == len(inputs)
        preimage["inputs"] |= {one: None for one in inputs if one not in built}
        known[stage.name] = _Present(
            stage.name,
            preimage,
            modules_of(stage, config, store),
            inputs,
            find(preimage, store) if complete else None,
        )
    return known[name]


def _nearest(present: _Present, store: Store) -> Action | None:
    """The earlier action with the fewest differences, the newest of equals."""
    recent = itertools.islice(store.actions(present.stage), COMPARED)
    known = {name: output for name, output in present.preimage["inputs"].items() if output}

    def differences(one: Action) -> int:
        inputs = one.preimage.get("inputs", {})
        others = sum(inputs.get(name) != output for name, output in known.items())
        return others + len(_own_changes(present, one))

    return min(recent, key=differences, default=None)


def _changes(present: _Present, earlier: Action, store: Store) -> tuple[Change, ...]:
    found = (*_own_changes(present, earlier), *_input_changes(present, earlier, store))
    # Nothing differs although it is not fresh: its blobs are gone, or they came out differently.
    return found or (Change("content", present.stage, present.stage),)


def _own_changes(present: _Present, earlier: Action) -> list[Change]:
    """Differences of the stage itself; inputs are compared elsewhere."""
    old, new, stage = earlier.preimage, present.preimage, present.stage
    found = [
        Change(kind, stage, *row)
        for kind, part in (("config", "config"), ("env", "env"), ("file", "files"))
        for row in _differences(old.get(part, {}), new.get(part, {}))
    ]
    found += [
        Change("version", stage, part, _text(old.get(part)), _text(new[part]))
        for part in ("schema", "stage_version")
        if old.get(part) != new[part]
    ]
    if old.get("code") != new["code"]:
        rows = list(_differences(earlier.modules, present.modules))
        found += [Change("code", stage, *row) for row in rows or [("", "", "")]]
    return found


def _input_changes(present: _Present, earlier: Action, store: Store) -> Iterator[Change]:
    old, new = earlier.preimage.get("inputs", {}), present.preimage["inputs"]
    for name in sorted({*old, *new}):
        if name not in new or name not in old:
            words = (ABSENT, "read") if name in new else ("read", ABSENT)
            yield Change("input", present.stage, name, *words)
        elif old[name] != new[name]:
            upstream = present.inputs[name]
            before = store.record(earlier.inputs[name]) if name in earlier.inputs else None
            before = before or _nearest(upstream, store)
            causes = _changes(upstream, before, store) if before else ()
            yield Change("input", present.stage, name, _text(old[name]), _text(new[name]), causes)


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Leaves that differ, as (dotted name, old, new)."""
    for name in sorted({*old, *new}):
        before, now = old.get(name, _NOTHING), new.get(name, _NOTHING)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _differences(before, now, f"{prefix}{name}.")
        elif before != now:
            yield f"{prefix}{name}", _text(before), _text(now)


_NOTHING = object()


def _text(value: Any) -> str:
    if value is _NOTHING:
        return ABSENT
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


# --- telling -----------------------------------------------------------------------------------


def lines(answer: Why) -> list[str]:
    """The answer for a person."""
    if answer.state == "fresh":
        told = f"{answer.stage}: fresh, built {answer.compared:.16}"
        if answer.accepted:
            told += f"\n  by other code, accepted as equivalent {answer.accepted:.16}"
        return told.splitlines()
    if answer.compared is None:
        return [f"{answer.stage}: never built"]
    head = f"{answer.stage}: stale, compared with the artefact of {answer.compared:.16}"
    leaves = dict.fromkeys(f"  {text}" for change in answer.changes for text in _tell(change))
    return [head, *leaves]


def _tell(change: Change) -> Iterator[str]:
    if change.kind != "input":
        yield _leaf(change)
    elif ABSENT in (change.old, change.new):
        yield f"input {change.name} {'is new' if change.old == ABSENT else 'is no longer read'}"
    elif not change.causes:
        yield f"input {change.name} is not built any more"
    for cause in change.causes:
        for text in _tell_cause(cause):
            yield f"input {change.name} changed ← {text}"


def _tell_cause(change: Change) -> Iterator[str]:
    """The leaves below a change: what a person can act on, not the way there."""
    if change.kind != "input" or not change.causes:
        mine = "" if change.kind == "config" else f"{change.stage}: "
        yield from (f"{mine}{text.removeprefix('config ')}" for text in _tell(change))
    for cause in change.causes:
        yield from _tell_cause(cause)


def _leaf(change: Change) -> str:
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
