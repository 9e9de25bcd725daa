"""The state of every node of a study, without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unidet.config.study import Config
from unidet.console.terminal import moment
from unidet.errors import UserError
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.engine.graph import STAGES, in_order, inputs_of, needed, targets
from unidet.pipelines.engine.keys import find, preimage_of
from unidet.pipelines.engine.node import Node
from unidet.store import accepted
from unidet.store.hashing import key_of
from unidet.store.record import Action
from unidet.store.store import Store

CLOSED_SET = "coco_eval"
SHOWN_INPUTS = 2  # by name, of those that a node waits for


@dataclass(frozen=True)
class State:
    """One node: `fresh`, `stale`, `missing`, `partial`, `running` or `blocked`, and why.

    A blocked one cannot be run or read as configured: a file that it reads is not there, its record
    is of a later version of the program, or somebody has put a file into its folder.
    """

    node: Node
    state: str
    reason: str
    folder: str | None = None


def states(config: Config) -> list[State]:
    """The state of the configured target and of every node it needs, in the order they would run.

    A closed-set detector's evaluation belongs to its study too.

    Raises:
        UserError: no such stage or node.
    """
    store = open_store(config)
    fresh: dict[Node, Action] = {}
    nodes = needed(config.stage, config)
    if config.rpn.classes != "agnostic" and STAGES[CLOSED_SET].nodes(config):
        nodes = in_order({*nodes, *needed(CLOSED_SET, config)}, config)
    return [_state(node, config, store, fresh) for node in nodes]


def _state(node: Node, config: Config, store: Store, fresh: dict[Node, Action]) -> State:
    inputs = inputs_of(node, config).values()
    waiting = [str(entry.node) for entry in inputs if entry.node not in fresh]
    if waiting:
        return _waiting(node, list(dict.fromkeys(waiting)), store)
    try:
        preimage = preimage_of(node, config, store, fresh)
        action = find(preimage, store)
    except UserError as error:
        return State(node, "blocked", str(error))
    key = key_of(preimage)
    if action:
        fresh[node] = action
        reason = f"built {moment(action.finished)}"
        if action.key != key:
            reason += ", code accepted"
        try:
            return State(node, "fresh", reason, str(store.folder(action)))
        except UserError as error:
            return State(node, "blocked", str(error))
    owner = store.owner(key)
    if owner:
        return State(node, "running", f"by {owner}")
    if store.has_work(key):
        return State(node, "partial", "interrupted; the same command resumes")
    if any(store.record(one) is not None for one in accepted.keys(store.layout, preimage)):
        return State(node, "stale", "content of it is gone from the store; unidet verify names it")
    if _built_once(node, store):
        return State(node, "stale", "its configuration, inputs or code changed")
    return State(node, "missing", "not built")


def _waiting(node: Node, inputs: list[str], store: Store) -> State:
    more = f" and {len(inputs) - SHOWN_INPUTS} more" if len(inputs) > SHOWN_INPUTS else ""
    text = f"waits for {', '.join(inputs[:SHOWN_INPUTS])}{more}"
    if _built_once(node, store):
        return State(node, "stale", f"{text}; stays if its content does")
    return State(node, "missing", text)


def _built_once(node: Node, store: Store) -> bool:
    return any(action.name == node.name for action in store.actions(node.stage))


def current(target: str, config: Config, store: Store) -> dict[Node, Action | None]:
    """The artefacts of a stage or node under the current configuration, the main one first; None if
    not built.

    Raises:
        UserError: no such stage or node.
    """
    fresh = built(target, config, store)
    return {node: fresh.get(node) for node in targets(target, config)}


def built(target: str, config: Config, store: Store) -> dict[Node, Action]:
    """The existing artefacts of the target and of everything it needs.

    Raises:
        UserError: no such stage or node.
    """
    fresh: dict[Node, Action] = {}
    for node in needed(target, config):
        if all(entry.node in fresh for entry in inputs_of(node, config).values()):
            action = find(preimage_of(node, config, store, fresh), store)
            if action is not None:
                fresh[node] = action
    return fresh


def built_folders(target: str, config: Config) -> dict[Node, Path] | None:
    """Folders of the target's artefacts, the main one first; None unless all are built.

    Raises:
        UserError: no such stage or node.
    """
    store = open_store(config)
    actions = current(target, config, store)
    if any(action is None for action in actions.values()):
        return None
    return {node: store.folder(action) for node, action in actions.items() if action is not None}


def log_request(target: str, config: Config) -> None:
    """Log that a command asked for a target that is built, as a run of it does.

    The log is what a clean-up knows of what was asked for last.

    Raises:
        UserError: the log cannot be written.
    """
    store = open_store(config)
    for node, action in built(target, config, store).items():
        store.log_run(node.stage, action.key, "cached", node.name)
