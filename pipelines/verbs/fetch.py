"""`unidet fetch`: artefacts from another store into this one; their folders are made at need."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from unidet.pipelines.verbs.support.arguments import add_arrivals, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store
    from unidet.pipelines.verbs.support.sharing import bring, open_remote, told

    config = compose(options.overrides)
    store = open_store(config)
    with open_remote(options, config, reading=True) as remote:
        moved = bring(options, config, store, remote)
    tell(options, asdict(moved), told(moved, "arrived", f"from {remote.url}"))
    return 1 if moved.refused else 0


VERB = Verb(
    group="Sharing",
    summary="copy artefacts from another store into this one",
    example="unidet fetch report --remote sftp://me@host/studies",
    run=run,
    add_arguments=add_arrivals,
)
