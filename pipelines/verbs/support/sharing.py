"""What the verbs push, fetch, pull, export, import and `verify --repair` have in common."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unidet.config.study import Config
from unidet.console.terminal import Progress, fold, size
from unidet.counts import counted
from unidet.errors import UserError
from unidet.pipelines.engine.graph import inputs_of, needed
from unidet.pipelines.engine.keys import find, preimage_of
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.remotes import from_remote, reaching
from unidet.pipelines.verbs.support.selection import select
from unidet.store.disk import nearest_folder
from unidet.store.live import in_use
from unidet.store.places import require_folders
from unidet.store.record import Action
from unidet.store.remote import Remote
from unidet.store.repair import free_folders, repair
from unidet.store.store import Store
from unidet.store.transfer import Moved, Tell, fetch_all
from unidet.store.verify import Findings


@contextmanager
def open_remote(options: Namespace, config: Config, *, reading: bool = False) -> Iterator[Remote]:
    """The remote of the command or of the configuration; a folder is made unless it is read.

    Ctrl-C ends at once what waits for it.

    Raises:
        UserError: neither names one, or it cannot be reached.
    """
    url = options.remote or config.remote
    if not url:
        raise UserError("no remote is given; add --remote URL (a folder, sftp://…) or remote=URL")
    if "://" not in url:
        folder = Path(url)
        if nearest_folder(folder) != folder and reading:
            raise UserError(f"remote {url}: there is no such folder")
    with reaching(url) as remote:
        if reading and not remote.is_store():
            raise UserError(
                f"remote {remote.url}: no store is there; correct the address, or push to it first"
            )
        yield remote


def chosen(names: list[str], config: Config, store: Store) -> list[Action]:
    """The artefacts that these name."""
    return [action for name in names for action in select(name, config, store)]


def bring(options: Namespace, config: Config, store: Store, remote: Remote) -> Moved:
    """What `fetch` and `pull` were asked for, with progress; without any stage, the whole study."""
    with progress("pull") as show:
        if options.all:
            return bring_all(store, remote, show)
        return bring_stages(options.stage or ["report"], config, store, remote, show)


def bring_all(store: Store, remote: Remote, tell: Tell | None = None) -> Moved:
    """Every artefact of the remote."""
    require_folders(store.layout)
    with in_use(store.layout) as use:
        return fetch_all(store, remote, use, *([tell] if tell else []))


def bring_stages(
    names: list[str], config: Config, store: Store, remote: Remote, tell: Tell
) -> Moved:
    """Stages as they are configured now, with all upstream of them; nothing is computed.

    Raises:
        UserError: no such stage.
    """
    require_folders(store.layout)
    # Each list has inputs before their users, so all together have them too.
    wanted = dict.fromkeys(node for name in names for node in needed(name, config))
    fresh: dict[Node, Action] = {}
    moved, before = Moved(), remote.received
    with in_use(store.layout) as use:
        for node in wanted:
            if any(entry.node not in fresh for entry in inputs_of(node, config).values()):
                moved.refused.append(f"{node}: an input of it is nowhere")
                continue
            preimage = preimage_of(node, config, store, fresh)
            here = find(preimage, store)
            refused: list[str] = []
            action = here or from_remote(remote, node, preimage, store, use, refused.append)
            moved.refused += refused
            if action is None:
                if not refused:
                    moved.refused.append(
                        f"{node}: not at the remote for these settings, data and code; unidet "
                        "fetch --all brings all it has, with which "
                        f"unidet why {node.stage} compares"
                    )
                continue
            fresh[node] = action
            moved.artefacts.append(action.key)
            if here is None:
                moved.sent.append(action.key)
            else:
                store.log_run(node.stage, action.key, "cached", node.name)
    moved.bytes = remote.received - before
    return moved


def told(moved: Moved, did: str, where: str) -> list[str]:
    """A transfer for a person."""
    lines = [line for text in moved.refused for line in fold(text, "")]
    there = len(moved.artefacts) - len(moved.sent)
    new = f"{counted(len(moved.sent), 'artefact')} {did} ({size(moved.bytes)})"
    known = counted(there, "was there already", "were there already")
    return [*lines, *fold(f"{new}, {known}", ""), *fold(where)]


def repaired(
    store: Store, found: Findings, remote: Remote | None, refuse: Callable[[str], None]
) -> dict[str, str]:
    """Repair what can be; path of a problem -> what became of it."""
    freed = free_folders(store)
    with in_use(store.layout) as use:
        return freed | repair(store, found, remote, use, refuse)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for (files done, files in all)."""
    bar = Progress(label)
    try:
        yield bar.update
    finally:
        bar.close()
