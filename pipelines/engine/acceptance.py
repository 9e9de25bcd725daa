"""A stage's code was rewritten and its results are the same: nothing has to rerun."""

from __future__ import annotations

from typing import Any

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.engine import find, modules_of, open_store, preimage_of
from unidet.pipelines.engine.graph import STAGES, needed
from unidet.store import accepted
from unidet.store.accepted import Acceptance
from unidet.store.hashing import digest
from unidet.store.record import Action
from unidet.store.store import Store


def accept(name: str, config: Config) -> Acceptance | None:
    """Declare a stage's present code equivalent to that of the newest artefact it could stand for.

    Returns:
        The declaration; None where the stage is fresh already.

    Raises:
        UserError: no such stage, an input is not built, or no artefact differs in its code alone.
    """
    store = open_store(config)
    preimage = _present(name, config, store)
    if find(preimage, store) is not None:
        return None
    earlier = next((one for one in store.actions(name) if _only_code(one, preimage, store)), None)
    if earlier is None:
        raise UserError(
            f"{name}: no artefact differs from it in nothing but its code, so there is nothing to "
            f"accept; see: unidet why {name}"
        )
    return accepted.accept(store.layout, name, preimage["code"], earlier.preimage["code"])


def revoke(name: str, config: Config) -> bool:
    """Take back what was declared about a stage's present code; whether there was anything."""
    if name not in STAGES:
        needed(name, config)
    store = open_store(config)
    code = digest(modules_of(STAGES[name], config, store))
    return accepted.revoke(store.layout, name, code)


def _present(name: str, config: Config, store: Store) -> dict[str, Any]:
    """The preimage of `name` as it would run now, on inputs that are all built."""
    fresh: dict[str, Action] = {}
    for stage in needed(name, config):
        inputs = {one: fresh[one] for one in stage.inputs(config)}
        preimage = preimage_of(stage, config, store, inputs)
        action = find(preimage, store)
        if action is not None:
            fresh[stage.name] = action
        elif stage.name != name:
            raise UserError(
                f"{name}: its input {stage.name} is not fresh; "
                f"accept or run that first, see: unidet why {stage.name}"
            )
    return preimage


def _only_code(one: Action, preimage: dict[str, Any], store: Store) -> bool:
    same = {**one.preimage, "code": None} == {**preimage, "code": None}
    return same and store.is_complete(one)
