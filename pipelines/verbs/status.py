"""`unidet status`: where every stage of the study stands, without running anything."""

from __future__ import annotations

import json
import textwrap
from argparse import ArgumentParser, Namespace

from unidet.config.study import Config
from unidet.pipelines.verbs.support.arguments import add_json
from unidet.pipelines.verbs.support.verb import Compose, Verb

NOT_FRESH = 3


def add_arguments(parser: ArgumentParser) -> None:
    add_json(parser)
    parser.add_argument("--check", action="store_true", help="exit 3 unless all is fresh")


def run(options: Namespace, compose: Compose) -> int:
    fresh = print_status(compose(options.overrides), as_json=options.json)
    return NOT_FRESH if options.check and not fresh else 0


def print_status(config: Config, *, as_json: bool) -> bool:
    """One line a stage, or a JSON list; whether every stage is fresh."""
    from unidet.pipelines.engine.states import states

    found = states(config)
    if as_json:
        print(json.dumps([vars(state) for state in found], indent=1))
    else:
        for state in found:
            line = f"{state.stage:<18} {state.state:<8} {state.reason}"
            print("\n".join(textwrap.wrap(line, 80, subsequent_indent=" " * 28)))
    return all(state.state == "fresh" for state in found)


VERB = Verb(
    group="The study",
    summary="every stage of the study: its state and one reason",
    example="unidet status --check experiment=bench",
    run=run,
    add_arguments=add_arguments,
)
