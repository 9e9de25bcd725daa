"""`unidet accept STAGE`: declares changed code equivalent, so that nothing reruns."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import add_json, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("stage", help="the stage with the changed code")
    parser.add_argument("--revoke", action="store_true", help="undo this; the stage is stale again")
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.acceptance import accept, revoke

    stage, config = options.stage, compose(options.overrides)
    if options.revoke:
        if not revoke(stage, config):
            raise UserError(f"{stage}: nothing was accepted for its present code")
        tell(options, {"stage": stage}, [f"{stage}: no longer accepted"])
        return 0
    acceptance = accept(stage, config)
    if acceptance is None:
        tell(options, None, [f"{stage}: fresh, nothing to accept"])
        return 0
    old, new = acceptance.equals[:12], acceptance.code[:12]
    line = f"{stage}: code {new} counts as equivalent to {old}"
    tell(options, asdict(acceptance), [line])
    return 0


VERB = Verb(
    group="The store",
    summary="declare changed code equivalent: nothing reruns",
    example="unidet accept roi",
    run=run,
    add_arguments=add_arguments,
)
