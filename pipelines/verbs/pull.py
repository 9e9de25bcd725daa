"""`unidet pull`: artefacts from another store into this one, and their folders."""

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
    for key in moved.artefacts:
        action = store.lookup(key)
        if action is not None:
            store.folder(action)
    tell(options, asdict(moved), told(moved, "arrived", f"from {remote.url}"))
    return 1 if moved.refused else 0


VERB = Verb(
    group="Sharing",
    summary="fetch, and create the artefacts' folders",
    example="unidet pull --all --remote /mnt/share/studies",
    run=run,
    add_arguments=add_arrivals,
)
