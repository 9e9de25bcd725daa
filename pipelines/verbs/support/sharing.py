"""What the verbs push, fetch, pull, export, import and `verify --repair` have in common."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unidet.config.study import Config
from unidet.console.terminal import Progress, fold, size
from unidet.errors import UserError
from unidet.pipelines.engine.engine import find, preimage_of
from unidet.pipelines.engine.graph import needed
from unidet.pipelines.engine.remotes import from_remote
from unidet.pipelines.verbs.support.selection import select
from unidet.store.live import in_use
from unidet.store.record import Action
from unidet.store.remote import Remote
from unidet.store.repair import repair
from unidet.store.store import Store
from unidet.store.transfer import Moved, Tell, fetch_all
from unidet.store.verify import Findings


def open_remote(options: Namespace, config: Config) -> Remote:
    """The remote of the command or of the configuration.

    Raises:
        UserError: neither names one, or it cannot be reached.
    """
    url = options.remote or config.remote
    if not url:
        raise UserError("no remote is given; add --remote URL (a folder, sftp://…) or remote=URL")
    return Remote(url)


def chosen(names: list[str], config: Config, store: Store) -> list[Action]:
    """The artefacts that these name; all where there are no names."""
    return [select(name, config, store) for name in names] or list(store.actions())


def bring(options: Namespace, config: Config, store: Store, remote: Remote) -> Moved:
    """What `fetch` and `pull` were asked for, with progress; without any stage, the whole study."""
    with progress("pull") as show:
        if options.all:
            return bring_all(store, remote, show)
        return bring_stages(options.stage or ["report"], config, store, remote, show)


def bring_all(store: Store, remote: Remote, tell: Tell | None = None) -> Moved:
    """Every artefact of the remote."""
    with in_use(store.layout) as use:
        return fetch_all(store, remote, use, *([tell] if tell else []))


def bring_stages(
    names: list[str], config: Config, store: Store, remote: Remote, tell: Tell
) -> Moved:
    """Stages as they are configured now, with all upstream of them; nothing is computed.

    Raises:
        UserError: no such stage.
    """
    # Each list has inputs before their users, so all together have them too.
    wanted = {stage.name: stage for name in names for stage in needed(name, config)}
    fresh: dict[str, Action] = {}
    moved = Moved()
    with in_use(store.layout) as use:
        for stage in wanted.values():
            if any(name not in fresh for name in stage.inputs(config)):
                moved.refused.append(f"{stage.name}: an input of it is nowhere")
                continue
            inputs = {name: fresh[name] for name in stage.inputs(config)}
            preimage = preimage_of(stage, config, store, inputs)
            here = find(preimage, store)
            action = here or from_remote(remote, preimage, store, use)
            if action is None:
                moved.refused.append(f"{stage.name}: not at the remote")
                continue
            fresh[stage.name] = action
            moved.artefacts.append(action.key)
            if here is None:
                moved.sent.append(action.key)
                moved.bytes += action.size
    return moved


def told(moved: Moved, did: str, where: str) -> list[str]:
    """A transfer for a person."""
    lines = [line for text in moved.refused for line in fold(text, "")]
    there = len(moved.artefacts) - len(moved.sent)
    count = f"{len(moved.sent)} artefacts {did} ({size(moved.bytes)}), {there} were there already"
    return [*lines, *fold(count, ""), *fold(where)]


def repaired(store: Store, found: Findings, remote: Remote | None) -> dict[str, str]:
    """Repair what can be; path of a problem -> what became of it."""
    with in_use(store.layout) as use:
        return repair(store, found, remote, use)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for (files done, files in all)."""
    bar = Progress(label)
    try:
        yield bar.update
    finally:
        bar.close()
