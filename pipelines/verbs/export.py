"""`unidet export DIR`: a folder to give away, with artefacts and all they were made from."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import add_json, add_what, file_path, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.disk import nearest_folder
from unidet.store.walking import files_below


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=file_path, metavar="DIR", help="a new or empty folder")
    add_what(parser, nargs="*", otherwise="the configured stage")
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store
    from unidet.pipelines.verbs.support.sharing import chosen, told
    from unidet.store.remote import Remote
    from unidet.store.transfer import push

    config = compose(options.overrides)
    store, folder = open_store(config), Remote(_checked(options.folder))
    actions = chosen(options.what or [config.stage], config, store)
    moved = push(store, folder, actions)
    tell(options, asdict(moved), told(moved, "exported", f"to {options.folder}"))
    return 1 if moved.refused else 0


def _checked(folder: str) -> str:
    """The absolute path of a folder to export into: new, without files, or an export already."""
    path = Path(folder)
    nearest_folder(path)
    # A killed export may have left `store`, and nothing in it.
    if path.is_dir() and any(files_below(path)) and not (path / "store" / "v1").is_dir():
        raise UserError(f"export: {folder} contains other files; give a new or empty folder")
    return os.path.abspath(path)


VERB = Verb(
    group="Sharing",
    summary="copy artefacts and all they were made from to a folder",
    example="unidet export for_review lvis_eval",
    run=run,
    add_arguments=add_arguments,
)
