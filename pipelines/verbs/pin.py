"""`unidet pin WHAT`: no clean-up drops it, nor what it was made from; alone, all pins."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from unidet.console.terminal import moment
from unidet.pipelines.verbs.support.arguments import (
    add_json,
    add_what,
    named,
    one_or_list,
    tell,
)
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.pins import Pin


def add_arguments(parser: ArgumentParser) -> None:
    add_what(parser, nargs="?", otherwise="all pins are listed")
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import existing_store, open_store
    from unidet.pipelines.verbs.support.selection import select
    from unidet.store.pins import is_lost, pin, pins

    config = compose(options.overrides)
    store = open_store(config)
    if options.what is None:
        layout = existing_store(config).layout
        marks = pins(layout)
        lines = [_line(mark, is_lost(layout, mark)) for mark in marks]
        tell(options, [asdict(mark) for mark in marks], lines or ["nothing is pinned"])
        return 0
    values, lines = [], []
    for action in select(options.what, config, store):
        new = pin(store.layout, action)
        word = "pinned" if new else "was pinned already"
        values.append({**named(action), "new": new})
        lines.append(f"{action.label} {action.output[:12]} {word}, with all it needs")
    tell(options, one_or_list(values), lines)
    return 0


def _line(mark: Pin, is_gone: bool) -> str:
    """A damaged pin has neither label nor time, but still protects what its file name says."""
    key = mark.key[:12]
    if is_gone:
        return f"{mark.label:<24} {key}  gone; run: unidet unpin {key}"
    when = f"pinned {moment(mark.time)}" if mark.time else "a damaged pin"
    return f"{mark.label:<24} {mark.output[:12] or key}  {when}"


VERB = Verb(
    group="The store",
    summary="keep an artefact from clean-ups; alone: list all pins",
    example="unidet pin report",
    run=run,
    add_arguments=add_arguments,
)
