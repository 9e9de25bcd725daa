"""Artefacts from a remote store, which a run asks before it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from unidet.console.interrupt import at_once
from unidet.console.terminal import Progress, say
from unidet.pipelines.engine.node import Node
from unidet.store import accepted
from unidet.store.live import Use
from unidet.store.record import Action
from unidet.store.remote import Refused, Remote
from unidet.store.store import Store
from unidet.store.transfer import fetch


@contextmanager
def reaching(url: str) -> Iterator[Remote]:
    """The remote at an address. Ctrl-C ends at once what waits for it: nothing is lost there.

    Raises:
        UserError: nothing can be reached.
    """
    with at_once():
        remote = Remote(url)
    with at_once(remote.cut):
        yield remote


def note_no_store(remote: Remote) -> None:
    """Tell where a run finds nothing because of a mistyped address; a push may also come later.

    Raises:
        UserError: the remote cannot be reached.
    """
    if not remote.is_store():
        say(
            f"note: remote {remote.url}: no store is there, so everything is computed; correct the "
            "address, or push to it later"
        )


def from_remote(
    remote: Remote,
    node: Node,
    preimage: dict[str, Any],
    store: Store,
    use: Use,
    refuse: Callable[[str], None] = lambda text: say(f"  {text}"),
) -> Action | None:
    """The artefact for `preimage`, copied from the remote; None if the remote has none.

    What is not what it says it is, is not taken: `refuse` gets a line that names it.

    Raises:
        UserError: the remote cannot be reached.
    """
    progress = Progress(f"{node} from the remote")
    try:
        for key in accepted.keys(store.layout, preimage):
            try:
                action = fetch(store, remote, key, use, progress.update)
            except Refused as error:
                refuse(str(error))
                continue
            if action is not None:
                return action
    finally:
        progress.close()
    return None
