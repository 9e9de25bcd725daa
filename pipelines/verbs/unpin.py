"""`unidet unpin WHAT`: a clean-up may drop it again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import add_json, add_what, named, tell
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
    action = select(options.what, config, store)
    if not unpin(store.layout, action):
        raise UserError(f"{action.stage} {action.output[:12]} is not pinned; see: unidet pin")
    tell(options, named(action), [f"{action.stage} {action.output[:12]} is no longer pinned"])
    return 0


VERB = Verb(
    group="The store",
    summary="let a clean-up drop an artefact again",
    example="unidet unpin report",
    run=run,
    add_arguments=add_arguments,
)
