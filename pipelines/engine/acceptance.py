"""Declares a stage's changed code equivalent, so that nothing has to run again."""

from __future__ import annotations

from typing import Any

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.engine.graph import inputs_of, targets
from unidet.pipelines.engine.keys import modules_of, preimage_of
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.states import built
from unidet.store import accepted
from unidet.store.accepted import Acceptance
from unidet.store.hashing import digest
from unidet.store.record import Action
from unidet.store.store import Store


def accept(target: str, config: Config) -> Acceptance | None:
    """Declare a stage's current code equivalent to that of the newest artefact that differs only in
    code.

    A declaration concerns all artefacts of the stage: one that differs in its code alone will do.

    Returns:
        The declaration; None where all artefacts of the target are fresh already.

    Raises:
        UserError: no such stage, an input is not built, or no artefact differs in its code alone.
    """
    store = open_store(config)
    upstream = built(target, config, store)
    stale = [node for node in targets(target, config) if node not in upstream]
    for node in stale:
        _need_inputs(node, config, upstream)
        preimage = preimage_of(node, config, store, upstream)
        for action in store.actions(node.stage):
            if _only_code(action, preimage, store):
                codes = preimage["code"], action.preimage["code"]
                return accepted.accept(store.layout, node.stage, *codes)
    if stale:
        raise UserError(
            f"{target}: no artefact differs from it in nothing but its code, so there is nothing "
            f"to accept; see: unidet why {target}"
        )
    return None


def revoke(target: str, config: Config) -> bool:
    """Withdraw the declaration about a stage's current code; returns whether there was one."""
    node, store = targets(target, config)[0], open_store(config)
    code = digest(modules_of(node, config, store))
    return accepted.revoke(store.layout, node.stage, code)


def _need_inputs(node: Node, config: Config, upstream: dict[Node, Action]) -> None:
    for entry in inputs_of(node, config).values():
        if entry.node not in upstream:
            raise UserError(
                f"{node}: its input {entry.node} is not fresh; "
                f"accept or run that first, see: unidet why {entry.node.stage}"
            )


def _only_code(action: Action, preimage: dict[str, Any], store: Store) -> bool:
    same = {**action.preimage, "code": None} == {**preimage, "code": None}
    return same and "code" in action.preimage and store.is_complete(action)
