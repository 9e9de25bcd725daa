"""Where every stage of a study stands, without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unidet.config.study import Config
from unidet.pipelines.engine.engine import find, open_store, preimage_of
from unidet.pipelines.engine.graph import needed
from unidet.pipelines.engine.stage import Stage
from unidet.store.hashing import key_of
from unidet.store.record import Action
from unidet.store.store import Store


@dataclass(frozen=True)
class State:
    """One stage: `fresh`, `stale`, `missing`, `partial` or `running`, and why."""

    stage: str
    state: str
    reason: str
    folder: str | None = None


def states(config: Config) -> list[State]:
    """The state of every stage of the study, in order."""
    store = open_store(config)
    fresh: dict[str, Action] = {}
    return [_state(stage, config, store, fresh) for stage in needed("report", config)]


def _state(stage: Stage, config: Config, store: Store, fresh: dict[str, Action]) -> State:
    waiting = [name for name in stage.inputs(config) if name not in fresh]
    if waiting:
        word = "stale" if _built_once(stage, store) else "missing"
        return State(stage.name, word, f"waits for {', '.join(waiting)}")
    inputs = {name: fresh[name] for name in stage.inputs(config)}
    preimage = preimage_of(stage, config, store, inputs)
    key = key_of(preimage)
    action = find(preimage, store)
    if action:
        fresh[stage.name] = action
        told = f"built {action.finished:.16}"
        if action.key != key:
            told += ", accepted for new code"
        return State(stage.name, "fresh", told, str(store.folder(action)))
    owner = store.owner(key)
    if owner:
        return State(stage.name, "running", f"by {owner}")
    if store.has_work(key):
        return State(stage.name, "partial", "interrupted; the same command resumes")
    if _built_once(stage, store):
        return State(stage.name, "stale", "its configuration, inputs or code changed")
    return State(stage.name, "missing", "never built")


def _built_once(stage: Stage, store: Store) -> bool:
    return next(store.actions(stage.name), None) is not None


def current(name: str, config: Config, store: Store) -> Action | None:
    """The artefact of a stage as it would run now; None where it is not built.

    Raises:
        UserError: no such stage.
    """
    fresh: dict[str, Action] = {}
    for stage in needed(name, config):
        _state(stage, config, store, fresh)
    return fresh.get(name)


def artefact_folder(name: str, config: Config) -> Path | None:
    """The folder of a stage's artefact; None where it is not built.

    Raises:
        UserError: no such stage.
    """
    store = open_store(config)
    action = current(name, config, store)
    return store.folder(action) if action else None
