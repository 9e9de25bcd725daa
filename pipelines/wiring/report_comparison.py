"""Comparison of several reports: their figures, and the values in which they differ."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unidet.counts import counted
from unidet.errors import UserError
from unidet.formats.embeddings import read_array
from unidet.pipelines.engine.changes import ABSENT, text_of
from unidet.pipelines.engine.node import Node
from unidet.pipelines.wiring.image_sets import DIGESTS
from unidet.pipelines.wiring.report_provenance import DIGITS, Compose, provenance_of
from unidet.report.html.comparison_page import Compared, Different, comparison_page
from unidet.report.study import FIGURES, load_study
from unidet.store.lineage import lineage
from unidet.store.record import Action
from unidet.store.store import Store

MOST_NAMED = 2  # differing values of which studies are named
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Report:
    """A report, the store that holds it, and the name of its study; empty where it has none."""

    action: Action
    store: Store
    study: str = ""


def comparison_of(reports: Sequence[Report], compose: Compose, names: Sequence[str] = ()) -> str:
    """The page of several reports, the first one being what the others are compared with.

    Raises:
        UserError: the same report twice, more than there are colours, names that do not fit, or a
            report of an earlier version.
    """
    _check(reports, names)
    different = list(_different(reports))
    studies = [
        Compared(
            name,
            load_study(report.store.folder(report.action) / FIGURES),
            provenance_of(report.action, report.store, compose),
            dict(_other_pictures(report, reports[0])),
        )
        for name, report in zip(names or _names(reports, different), reports, strict=True)
    ]
    return comparison_page(studies, different)


def _check(reports: Sequence[Report], names: Sequence[str]) -> None:
    places = [(report.store.root.resolve(), report.action.output) for report in reports]
    twice = next((output for place, output in places if places.count((place, output)) > 1), None)
    if twice:
        raise UserError(f"report {twice[:12]} is given twice; name different ones")
    if len(reports) > len(LETTERS):
        raise UserError(f"{len(reports)} reports; at most {len(LETTERS)} can be told apart")
    if names and (len(names) != len(reports) or len(set(names)) != len(names)):
        raise UserError(
            f"--names: {counted(len(names), 'name')} for {counted(len(reports), 'report')}; "
            "give each its own"
        )


def _names(reports: Sequence[Report], different: Sequence[Different]) -> list[str]:
    """Of the studies; else by the values that differ, where these are few; else letters, digits."""
    choices = [[report.study for report in reports]]
    if 0 < len(different) <= MOST_NAMED:
        choices.append(
            [
                ", ".join(
                    f"{item.key.rpartition('.')[2]}={item.values[place]}" for item in different
                )
                for place in range(len(reports))
            ]
        )
    for names in choices:
        if all(names) and len(set(names)) == len(names):
            return names
    return [
        f"{letter} {report.action.output[:6]}"
        for letter, report in zip(LETTERS, reports, strict=False)
    ]


# --- what was evaluated ------------------------------------------------------------------------


def _other_pictures(report: Report, first: Report) -> Iterator[tuple[str, str]]:
    """Sets that are other than what the first report calls so, and in what."""
    for label, key in report.action.inputs.items():
        node, theirs = Node.parse(label), first.action.inputs.get(label)
        if node is None or node.stage != "data" or theirs is None:
            continue
        one, other = report.store.record(key), first.store.record(theirs)
        if one is None or other is None or one.output != other.output:
            yield node.name, _apart(_digests(one, report.store), _digests(other, first.store))


def _digests(action: Action | None, store: Store) -> set[bytes] | None:
    """Of the content of a dataset's images; None where it is not there any more."""
    if action is None or not store.is_complete(action):
        return None
    file = store.folder(action) / DIGESTS
    digests = read_array(file)
    if digests.dtype != np.uint8 or digests.ndim != 2:
        raise UserError(f"{file}: contains no digests of images; do not trust its store")
    return {row.tobytes() for row in digests}


def _apart(own: set[bytes] | None, first: set[bytes] | None) -> str:
    if own is None or first is None:
        return "perhaps other images: these are not in the store any more"
    if own == first:
        return "the same images with other annotations"
    return f"other images: {len(own)} instead of {len(first)}, {len(own & first)} in both"


# --- values ------------------------------------------------------------------------------------


def _different(reports: Sequence[Report]) -> Iterator[Different]:
    """Values of the configuration, and files, that differ among the reports, by key."""
    values = [_values(report.action, report.store) for report in reports]
    for key in sorted({key for of_study in values for key in of_study}):
        texts = [of_study.get(key, ABSENT) for of_study in values]
        if len(set(texts)) > 1:
            yield Different(key, texts)


def _values(action: Action, store: Store) -> dict[str, str]:
    """Every value and file that the report or what it was made from depends on, by key."""
    values: dict[str, str] = {}
    for node in lineage([action], store):
        record = store.record(node.key)
        config = record.preimage.get("config", {}) if record else {}
        for file in node.files if node.stage != "report" else ():
            # of weights as the key that gives them, `rpn.weights`
            key = f"{node.label}: {file.name}" if "[" in node.label else f"{node.label}.{file.name}"
            values[key] = f"{os.path.basename(file.path) or file.name} {file.digest[:DIGITS]}"
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
