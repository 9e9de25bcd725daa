"""`unidet unpin WHAT`: a clean-up may drop it again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import (
    add_json,
    add_what,
    named,
    one_or_list,
    tell,
)
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.store import Store


def add_arguments(parser: ArgumentParser) -> None:
    add_what(parser)
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store

    config = compose(options.overrides)
    store = open_store(config)
    if not _unpin_lost(options, store):
        _unpin(options, config, store)
    return 0


def _unpin(options: Namespace, config: Config, store: Store) -> None:
    from unidet.pipelines.verbs.support.selection import select
    from unidet.store.pins import unpin

    actions = [one for one in select(options.what, config, store) if unpin(store.layout, one.key)]
    if not actions:
        raise UserError(f"{options.what} is not pinned; see: unidet pin")
    lines = [f"{action.label} {action.output[:12]} is no longer pinned" for action in actions]
    tell(options, one_or_list([named(action) for action in actions]), lines)


def _unpin_lost(options: Namespace, store: Store) -> bool:
    """Remove pins of artefacts that are gone, which `unidet pin` lists by their keys."""
    from unidet.pipelines.verbs.support.selection import is_start
    from unidet.store.pins import is_lost, pins, unpin

    what, layout = options.what, store.layout
    named_so = (one for one in pins(layout) if is_start(what) and one.key.startswith(what))
    marks = [one for one in named_so if is_lost(layout, one)]
    for mark in marks:
        unpin(layout, mark.key)
    if marks:
        lines = [
            f"{mark.label or 'artefact'} {mark.key[:12]} is no longer pinned" for mark in marks
        ]
        tell(options, one_or_list([asdict(mark) for mark in marks]), lines)
    return bool(marks)


VERB = Verb(
    group="The store",
    summary="let a clean-up drop an artefact again",
    example="unidet unpin report",
    run=run,
    add_arguments=add_arguments,
)
