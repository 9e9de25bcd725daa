"""`unidet unpin WHAT`: a clean-up may drop it again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import (
    add_json,
    add_what,
    named,
    one_or_list,
    tell,
)
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    add_what(parser)
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store
    from unidet.pipelines.verbs.support.selection import select
    from unidet.store.pins import unpin

    config = compose(options.overrides)
    store = open_store(config)
    actions = [one for one in select(options.what, config, store) if unpin(store.layout, one)]
    if not actions:
        raise UserError(f"{options.what} is not pinned; see: unidet pin")
    lines = [f"{action.label} {action.output[:12]} is no longer pinned" for action in actions]
    tell(options, one_or_list([named(action) for action in actions]), lines)
    return 0


VERB = Verb(
    group="The store",
    summary="let a clean-up drop an artefact again",
    example="unidet unpin report",
    run=run,
    add_arguments=add_arguments,
)
