"""Several reports side by side: their figures, and the values in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unidet.errors import UserError
from unidet.pipelines.engine.changes import ABSENT, text_of
from unidet.pipelines.wiring.report_provenance import Compose, provenance_of
from unidet.report.html.comparison_page import Compared, Different, comparison_page
from unidet.report.study import FIGURES, load_study
from unidet.store.lineage import lineage
from unidet.store.record import Action
from unidet.store.store import Store

MOST_NAMED = 2  # differing values of which studies are named
LETTERS = "ABCDEFGH"


def comparison_of(
    actions: Sequence[Action], store: Store, compose: Compose, names: Sequence[str] = ()
) -> str:
    """The page of several reports, the first one being what the others are compared with.

    Raises:
        UserError: the same report twice, more than there are colours, names that do not fit, or a
            report of an earlier version.
    """
    _check(actions, names)
    different = list(_different(actions, store))
    studies = [
        Compared(
            name,
            load_study(store.folder(action) / FIGURES),
            provenance_of(action, store, compose),
        )
        for name, action in zip(names or _names(actions, different), actions, strict=True)
    ]
    return comparison_page(studies, different)


def _check(actions: Sequence[Action], names: Sequence[str]) -> None:
    outputs = [action.output for action in actions]
    twice = next((output for output in outputs if outputs.count(output) > 1), None)
    if twice:
        raise UserError(f"report {twice[:12]} is given twice; name different ones")
    if len(actions) > len(LETTERS):
        raise UserError(f"{len(actions)} reports; at most {len(LETTERS)} can be told apart")
    if names and (len(names) != len(actions) or len(set(names)) != len(names)):
        raise UserError(
            f"--names: {len(names)} names for {len(actions)} reports; give each its own"
        )


def _names(actions: Sequence[Action], different: Sequence[Different]) -> list[str]:
    """By the values that differ, where these are few; otherwise letters and digits."""
    if 0 < len(different) <= MOST_NAMED:
        names = [
            ", ".join(f"{item.key.rpartition('.')[2]}={item.values[place]}" for item in different)
            for place in range(len(actions))
        ]
        if len(set(names)) == len(names):
            return names
    return [
        f"{letter} {action.output[:6]}" for letter, action in zip(LETTERS, actions, strict=False)
    ]


def _different(actions: Sequence[Action], store: Store) -> Iterator[Different]:
    """Values of the configuration that are not the same in all, by key."""
    values = [_values(action, store) for action in actions]
    for key in sorted({key for of_study in values for key in of_study}):
        texts = [of_study.get(key, ABSENT) for of_study in values]
        if len(set(texts)) > 1:
            yield Different(key, texts)


def _values(action: Action, store: Store) -> dict[str, str]:
    """Every value that the report or what it was made from depends on, by key."""
    values: dict[str, str] = {}
    for node in lineage([action], store):
        record = store.record(node.key)
        config = record.preimage.get("config", {}) if record else {}
        for key, value in _leaves(config):
            name = f"{node.label}: {key}" if key.startswith("data.source") else key
            values[name] = text_of(value)
    return values


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
