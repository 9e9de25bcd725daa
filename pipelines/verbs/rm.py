"""`unidet rm WHAT`: removes one artefact that nothing else needs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.console.terminal import size
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
    from unidet.store.gc import cleaning, drop
    from unidet.store.gc_plan import obstacles

    config = compose(options.overrides)
    store = open_store(config)
    actions, lines = select(options.what, config, store), []
    with cleaning(store):
        for action in actions:
            name = f"{action.label} {action.output[:12]}"
            reasons = obstacles(store, action)
            if reasons or not drop(store, [action]):
                shown = "; ".join([*reasons[:3], *(["…"] if reasons[3:] else [])])
                raise UserError(f"{name} stays: {shown or 'somebody has begun to use it'}")
            freed = size(action.size)
            lines.append(f"{name} removed; gc --yes frees its {freed} after the grace period")
    tell(options, one_or_list([named(action) for action in actions]), lines)
    return 0


VERB = Verb(
    group="The store",
    summary="remove an artefact that nothing else needs",
    example="unidet rm outputs/artefacts/rpn-77d0c1b2a3f4",
    run=run,
    add_arguments=add_arguments,
)
