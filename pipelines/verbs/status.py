"""`unidet status`: where every stage of the study stands, without running anything."""

from __future__ import annotations

import json
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from unidet.console.terminal import printable
from unidet.pipelines.verbs.support.arguments import add_json
from unidet.pipelines.verbs.support.verb import Compose, Verb

if TYPE_CHECKING:
    from unidet.config.study import Config
    from unidet.pipelines.engine.states import State

NOT_FRESH = 3


def add_arguments(parser: ArgumentParser) -> None:
    add_json(parser)
    parser.add_argument(
        "--check", action="store_true", help="exit status 3 unless everything is fresh"
    )


def run(options: Namespace, compose: Compose) -> int:
    fresh = print_status(compose(options.overrides), as_json=options.json)
    return NOT_FRESH if options.check and not fresh else 0


def print_status(config: Config, *, as_json: bool) -> bool:
    """A line for each stage whose artefacts are alike, or a JSON list; whether all are fresh."""
    from unidet.pipelines.engine.states import states
    from unidet.pipelines.wiring.label_copy import tell_label_changes

    tell_label_changes(config)
    nodes = states(config)
    if as_json:
        print(json.dumps([_values(state) for state in nodes], indent=1))
    else:
        for _, same_stage in groupby(nodes, lambda state: state.node.stage):
            print("\n".join(_lines(list(same_stage))))
    return all(state.state == "fresh" for state in nodes)


def _values(state: State) -> dict[str, str | None]:
    node = state.node
    names = {"node": str(node), "stage": node.stage, "name": node.name}
    return {**names, "state": state.state, "reason": state.reason, "folder": state.folder}


def _lines(nodes: list[State]) -> Iterator[str]:
    """The artefacts of one stage: one line where they are in one state, else one for each."""
    if len({state.state for state in nodes}) == 1:
        label = nodes[0].node.stage if len(nodes) > 1 else str(nodes[0].node)
        count = f" ({len(nodes)})" if len(nodes) > 1 else ""
        # Of several that are fresh, the newest is told.
        yield from _line(f"{label}{count}", nodes[0].state, max(state.reason for state in nodes))
    else:
        for state in nodes:
            yield from _line(str(state.node), state.state, state.reason)


def _line(label: str, state: str, reason: str) -> list[str]:
    text = printable(f"{label:<24} {state:<8} {reason}")
    return textwrap.wrap(text, 80, subsequent_indent=" " * 34)


VERB = Verb(
    group="The study",
    summary="show the state of every stage, and why",
    example="unidet status --check experiment=bench",
    run=run,
    add_arguments=add_arguments,
)
