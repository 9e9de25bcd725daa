"""Selects artefacts by stage, by path or by the first digits of a digest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from unidet.config.study import Config
from unidet.errors import UserError, suggestion
from unidet.pipelines.engine.changes import changed_values
from unidet.pipelines.engine.graph import STAGES
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.states import current
from unidet.store.hashing import sha256_file
from unidet.store.record import Action
from unidet.store.store import Store

_SHOWN_VALUES = 3
_HEX = re.compile(r"[0-9a-f]{6,64}")


def select(what: str, config: Config, store: Store) -> list[Action]:
    """The artefacts that `what` names: one, or all of a stage, the main one first.

    Args:
        what: a stage or node (then its artefacts under this configuration), an artefact's folder
            or a file in it or any file with the same content, or the first digits of the digest of
            an artefact, of its key or of one of its files.

    Raises:
        UserError: there is none, or there are several with different content.
    """
    node = Node.parse(what)
    if node is not None and node.stage in STAGES:
        actions = current(what, config, store)
        absent = next((node for node, action in actions.items() if action is None), None)
        if absent is not None:
            raise UserError(
                f"{absent} is not built as configured now{_because(what, config)}; "
                f"run stage={what} of this study"
            )
        return [action for action in actions.values() if action is not None]
    found = list(_candidates(what, store))
    if not found:
        raise UserError(_unknown(what, store))
    others = sorted({one.output[:12] for one in found if one.stage == found[0].stage})
    if is_start(what) and len(others) > 1:
        raise UserError(f"{what} is the start of several digests: {', '.join(others)}; give more")
    return [found[0]]


def _unknown(what: str, store: Store) -> str:
    """The message for what names no artefact."""
    meant = suggestion(what, STAGES)
    if next(iter(store.actions()), None) is None:
        return (
            f"{what!r} names no artefact: nothing is stored in {store.root}; {meant}give the "
            f"folder of a store (store.root=FOLDER), or run a stage first"
        )
    return (
        f"{what!r} names no artefact in store {store.root}; {meant}give a stage, the path of an "
        f"artefact or of a file from one, or six or more digits of a digest"
    )


def is_start(what: str) -> bool:
    """Whether it can be the first digits of a digest."""
    return _HEX.fullmatch(what) is not None


def _because(target: str, config: Config) -> str:
    """Which values have changed since it was last built; empty if none, or if it never was."""
    values = list(changed_values(target, config).items())
    shown = [f"{key} was {was}, is {now}" for key, (was, now) in values[:_SHOWN_VALUES]]
    more = len(values) - len(shown)
    texts = [*shown, *([f"and {more} more, see: unidet why {target}"] if more else [])]
    return f" ({'; '.join(texts)})" if texts else ""


def _candidates(what: str, store: Store) -> Iterator[Action]:
    """Artefacts that fit, newest first, those named themselves before those that hold a file."""
    path = Path(os.path.abspath(what))
    if path.is_file():
        inside = _in_artefact(path, store)
        sha256 = sha256_file(path)
        holders = [one for one in store.actions() if _holds(one, sha256)]
        yield from sorted(holders, key=lambda one: _folder(one, store) != inside)
    elif path.is_dir():
        folder = _in_artefact(path, store)
        yield from (one for one in store.actions() if _folder(one, store) == folder)
    elif is_start(what):
        everything = list(store.actions())
        yield from (one for one in everything if one.output.startswith(what))
        yield from (one for one in everything if one.key.startswith(what))
        yield from (one for one in everything if _holds(one, what))


def _in_artefact(path: Path, store: Store) -> str:
    """Name of the artefact's folder that `path` is or lies in; empty where it is in none.

    Links on the way to either count as where they lead: the store may be reached by several paths.
    """
    artefacts, place = (Path(os.path.realpath(one)) for one in (store.layout.artefacts, path))
    inside = place.is_relative_to(artefacts) and place != artefacts
    return place.relative_to(artefacts).parts[0] if inside else ""


def _folder(action: Action, store: Store) -> str:
    return store.layout.artefact(action.stage, action.output).name


def _holds(action: Action, start: str) -> bool:
    return any(file.sha256.startswith(start) for file in action.files.values())
