"""`unidet import DIR`: what `unidet export` has put into a folder."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import add_json, file_path, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=file_path, metavar="DIR", help="written by unidet export")
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store
    from unidet.pipelines.verbs.support.sharing import bring_all, told
    from unidet.store.remote import Remote

    store = open_store(compose(options.overrides))
    moved = bring_all(store, Remote(_checked(options.folder)))
    tell(options, asdict(moved), told(moved, "imported", f"from {options.folder}"))
    return 1 if moved.refused else 0


def _checked(folder: str) -> str:
    """The absolute path of a folder that is an export."""
    if not (Path(folder) / "store" / "v1" / "actions").is_dir():
        raise UserError(f"import: {folder} was not made by unidet export (no store/v1/actions)")
    return os.path.abspath(folder)


VERB = Verb(
    group="Sharing",
    summary="copy an exported folder into this store",
    example="unidet import for_review",
    run=run,
    add_arguments=add_arguments,
)
