"""`unidet doctor`: is this machine ready, part by part."""

from __future__ import annotations

from argparse import Namespace

from unidet.pipelines.verbs.support.verb import Compose, Verb


def run(options: Namespace, compose: Compose) -> int:
    from unidet.backend import doctor

    return doctor.run()


VERB = Verb(
    group="This machine",
    summary="check this machine, with a remedy for every problem",
    example="unidet doctor",
    run=run,
    takes_overrides=False,
)
