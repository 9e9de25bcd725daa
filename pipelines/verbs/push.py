"""`unidet push`: artefacts with all they were made from, to another store."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from unidet.pipelines.verbs.support.arguments import add_json, add_remote, add_what, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    add_what(parser, nargs="*", otherwise="everything")
    add_remote(parser)
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import existing_store, open_store
    from unidet.pipelines.verbs.support.sharing import chosen, open_remote, progress, told
    from unidet.store.transfer import push

    config = compose(options.overrides)
    with open_remote(options, config) as remote, progress("push") as show:
        store = open_store(config) if options.what else existing_store(config)
        actions = chosen(options.what, config, store) if options.what else None
        moved = push(store, remote, actions, show)
    tell(options, asdict(moved), told(moved, "pushed", f"to {remote.url}"))
    return 1 if moved.refused else 0


VERB = Verb(
    group="Sharing",
    summary="copy artefacts to a folder, an SFTP server or S3",
    example="unidet push report --remote sftp://me@host/studies",
    run=run,
    add_arguments=add_arguments,
)
