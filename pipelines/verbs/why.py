"""`unidet why STAGE`: what has changed since the nearest earlier artefact, down to its cause."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from unidet.pipelines.verbs.support.arguments import add_json, one_or_list, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("stage", help="all artefacts of a stage, or one: proposals:val")
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.changes import lines, why
    from unidet.pipelines.wiring.label_copy import tell_label_changes

    config = compose(options.overrides)
    tell_label_changes(config)
    answers = why(options.stage, config)
    told = [line for answer in answers for line in lines(answer)]
    tell(options, one_or_list([asdict(answer) for answer in answers]), told)
    return 0


VERB = Verb(
    group="The study",
    summary="show what changed since a stage was built",
    example="unidet why roi rpn.network.alpha=0.9",
    run=run,
    add_arguments=add_arguments,
)
