"""Who made a report, when, where and at what cost: read off the store's records."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from unidet.config.folders import take_folders
from unidet.config.study import Config
from unidet.console.terminal import duration, moment, size
from unidet.counts import counted
from unidet.errors import UserError
from unidet.pipelines.engine.changes import differences_of
from unidet.pipelines.engine.graph import all_nodes
from unidet.pipelines.engine.keys import values_of
from unidet.pipelines.engine.node import Node
from unidet.pipelines.wiring.study_sets import key_as_given
from unidet.report.html.provenance import Made, Provenance, RawFile, Value, with_provenance
from unidet.report.study import PAGE
from unidet.store.disk import make_folder, whole_file
from unidet.store.lineage import Node as Ancestor
from unidet.store.lineage import lineage
from unidet.store.record import Action
from unidet.store.store import Store

Compose = Callable[[Sequence[str]], Config]
REPORTS = "reports"
"""Folder beside the artefacts where a run leaves pages with their provenance."""
DIGITS = 12
_CHOOSING = re.compile(r"experiment=[\w-]{1,80}")


def deliver(config: Config, store: Store, action: Action) -> Path:
    """Leave the report with its provenance beside the artefacts; where it lies.

    Where the store may only be read, that is the artefact's own page.
    """
    from unidet.config.compose import compose

    name = re.sub(r"[^\w.-]", "_", config.experiment)
    target = store.root / REPORTS / f"{name}-{action.output[:DIGITS]}.html"
    if target.exists():  # a run of what is cached shall cost nothing
        return target
    text = page_of(action, store, compose)
    try:
        make_folder(target.parent)
        with whole_file(target) as partial:
            partial.write_text(text, encoding="utf-8")
    except (OSError, UserError):
        return store.folder(action) / PAGE
    return target


def page_of(action: Action, store: Store, compose: Compose) -> str:
    """The page of a report with its provenance.

    Raises:
        UserError: it was made by an earlier version, or is no text.
    """
    file = store.folder(action) / PAGE
    try:
        page = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{file}: is not a page; do not trust its store") from None
    return with_provenance(page, provenance_of(action, store, compose))


def provenance_of(action: Action, store: Store, compose: Compose) -> Provenance:
    """Of a report and of all that it was made from."""
    # The record, whose inputs stand in the same order whoever asks.
    action = store.record(action.key) or action
    chain = [node for node in lineage([action], store) if node.state != "lost"]
    experiment, values = _values(action, chain, store, compose)
    total = duration(sum(node.seconds for node in chain))
    weight = size(sum(node.bytes for node in chain))
    return Provenance(
        report=action.output[:DIGITS],
        commands=list(dict.fromkeys(node.command for node in chain)),
        experiment=experiment,
        values=values,
        made=[_made(node) for node in chain],
        raw=_raw(chain),
        hosts=list(dict.fromkeys(node.host for node in chain)),
        code=list(dict.fromkeys(_code(node) for node in chain)),
        built=moment(action.finished),
        total=f"{total} of computing, {weight} in {counted(len(chain), 'artefact')}",
    )


def _made(node: Ancestor) -> Made:
    return Made(
        label=node.label,
        digits=node.output[:DIGITS],
        built=moment(node.built),
        host=node.host,
        cost=duration(node.seconds),
        size=size(node.bytes),
        code=_code(node),
    )


def _raw(chain: Sequence[Ancestor]) -> list[RawFile]:
    """Files and folders by their names alone: a page tells no paths of the machine."""
    return [
        RawFile(node.label, os.path.basename(file.path) or file.name, file.digest[:DIGITS])
        for node in chain
        for file in node.files
        if node.stage != "report"
    ]


def _code(node: Ancestor) -> str:
    if node.git is None:
        return "no git checkout"
    edits = ", with edits" if node.git.get("dirty") else ""
    return f"commit {str(node.git.get('commit'))[:DIGITS]}{edits}"


# --- values ------------------------------------------------------------------------------------


def _values(
    action: Action, chain: Sequence[Ancestor], store: Store, compose: Compose
) -> tuple[str, list[Value] | None]:
    """The experiment that the report's command names, and what the artefacts have otherwise."""
    chosen: list[str] = []
    try:
        folders, words = take_folders(shlex.split(action.command)[1:])
        # Nothing else of a command that may come from elsewhere: a search path can name modules.
        chosen = [word for word in words if _CHOOSING.fullmatch(word)]
        base = compose(folders.before(chosen))
    except (UserError, ValueError):  # a folder that is gone, or nothing that a shell reads
        return next(iter(chosen), "experiment=unknown").partition("=")[2], None
    nodes = set(all_nodes(base))
    values: dict[str, Value] = {}
    for ancestor in chain:
        record = store.record(ancestor.key)
        if record is None:
            continue
        node = Node(record.stage, record.name)
        theirs = values_of(node, base) if node in nodes else {}
        for name, before, now in differences_of(theirs, record.preimage.get("config", {})):
            key = _as_given(base, node, name) if node in nodes else f"{node}: {name}"
            values.setdefault(key, Value(key, before, now))
    return base.experiment, [values[key] for key in sorted(values)]


def _as_given(config: Config, node: Node, name: str) -> str:
    """The key that a person gives; a node of a dataset knows its own values by shorter names."""
    if node.name and name.startswith("data."):
        return key_as_given(config, node.name, name)
    return name
