"""Copies artefacts to and from a remote: content before its record, inputs before dependents."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from unidet.errors import UserError
from unidet.store.disk import clear_errors, make_folder
from unidet.store.gc_plan import blobs_of, read_records
from unidet.store.ingest import has_blob
from unidet.store.live import discard_abandoned, in_use
from unidet.store.places import require_links
from unidet.store.record import Action, StoredFile
from unidet.store.remote import Refused, Remote
from unidet.store.store import LaterRecord, Store

Use = Callable[..., None]
Tell = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Report no progress."""


@dataclass
class Moved:
    """Result of a transfer.

    Attributes:
        artefacts: keys whose record was copied, or existed already with all content.
        sent: keys of these whose record was new.
        bytes: bytes of content that were copied.
        refused: one line for each artefact that was not copied.
    """

    artefacts: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    bytes: int = 0
    refused: list[str] = field(default_factory=list)


# --- to a remote -------------------------------------------------------------------------------


def push(
    store: Store, remote: Remote, actions: Iterable[Action] | None, tell: Tell = _silent
) -> Moved:
    """Copy artefacts and all their inputs; existing content is not sent again.

    Args:
        actions: None for everything. Records that cannot be read, or of inputs that are gone, are
            refused, and so are artefacts with content that was altered here or has no place there.

    Raises:
        UserError: the remote cannot be reached or written.
    """
    records, unread = read_records(store)
    chosen = with_inputs(records.values() if actions is None else actions, records)
    refused: Iterable[str]
    if actions is None:
        refused = map(str, unread.values())
    else:
        refused = _without_record(chosen, records, unread)
    with _kept(store, chosen):
        return _send(store, remote, chosen, Moved(refused=[*refused]), tell)


@contextmanager
def _kept(store: Store, actions: Iterable[Action]) -> Iterator[None]:
    """Keep them from a clean-up here meanwhile, for a push may take hours."""
    with ExitStack() as stack:
        # Not from a disk that is full or fails, off which what it has must come nevertheless.
        with suppress(UserError):
            stack.enter_context(in_use(store.layout))(*(action.key for action in actions))
        yield


def _send(
    store: Store, remote: Remote, chosen: Iterable[Action], moved: Moved, tell: Tell
) -> Moved:
    there = remote.blobs()
    missing = {
        sha: size
        for action in chosen
        for sha, size in blobs_of(action).items()
        if there.get(sha) != size
    }
    total = sum(missing.values())
    known = set(remote.keys())

    def more(sent: int) -> None:
        tell(moved.bytes + sent, total)

    for action in chosen:
        if not store.is_complete(action):
            moved.refused.append(
                f"{action.label} {action.output[:12]}: content is missing here or was altered; "
                f"run: unidet verify --repair"
            )
            continue
        try:
            for sha, size in blobs_of(action).items():
                if sha in missing:
                    tell(moved.bytes, total)
                    remote.upload(store.layout.blob(sha), StoredFile(sha, size), more)
                    moved.bytes += missing.pop(sha)
            _push_record(store, remote, action, action.key in known, moved)
        except Refused as error:
            if str(error) not in moved.refused:  # of content that several artefacts need
                moved.refused.append(str(error))
    tell(total, max(total, 1))
    return moved


def _without_record(
    chosen: Iterable[Action], records: Mapping[str, Action], unread: Mapping[str, UserError]
) -> Iterator[str]:
    """A line for each input that has no record here, or none that can be read."""
    gone = {
        key: f"{action.label} {action.output[:12]}: made from {name}, which this store lacks"
        for action in chosen
        for name, key in action.inputs.items()
        if key not in records
    }
    yield from (str(unread.get(key, reason)) for key, reason in gone.items())


def _push_record(store: Store, remote: Remote, action: Action, there: bool, moved: Moved) -> None:
    standing = remote.action(action.key) if there else None
    if standing is not None and standing.output != action.output:
        name = f"{action.label} {action.output[:12]}"
        moved.refused.append(f"{name}: the remote has another result for its key, which stays")
        return
    if standing is None:
        remote.put_record(action)
        moved.bytes += _send_again(store, remote, action)
        moved.sent.append(action.key)
    moved.artefacts.append(action.key)


def _send_again(store: Store, remote: Remote, action: Action) -> int:
    """Send content that a clean-up there has removed before the record existed; returns its bytes.

    The clean-up checks the records after it removes, so that one of the two restores content.
    """
    files = [StoredFile(sha, size) for sha, size in blobs_of(action).items()]
    gone = [file for file in files if not remote.has(file)]
    for file in gone:
        remote.upload(store.layout.blob(file.sha256), file)
    return sum(file.size for file in gone)


def with_inputs(actions: Iterable[Action], records: Mapping[str, Action]) -> list[Action]:
    """The artefacts and all their direct and indirect inputs with a record; inputs first."""
    ordered: dict[str, Action] = {}
    entered: set[str] = set()
    pending = [(action, False) for action in reversed(list(actions))]
    while pending:
        action, has_inputs = pending.pop()
        if has_inputs:
            ordered[action.key] = action
        elif action.key not in entered:
            entered.add(action.key)
            inputs = reversed([key for key in action.inputs.values() if key in records])
            pending += [(action, True), *((records[key], False) for key in inputs)]
    return list(ordered.values())


# --- from a remote -----------------------------------------------------------------------------


def fetch(
    store: Store,
    remote: Remote,
    key: str,
    use: Use,
    tell: Tell = _silent,
    refused: dict[str, Refused] | None = None,
) -> Action | None:
    """Copy an artefact and all its inputs from a remote; None where the remote does not have it.

    Args:
        use: marks keys as used by this process (live.py).
        refused: why the content of some keys was refused by this remote before, which is not copied
            again for each artefact that needs it; this adds to it.

    Raises:
        Refused: a part is damaged or not what its name says; artefacts copied before it stay.
        LaterRecord: the record of it or of an input here is one that this version cannot read.
        UserError: the remote cannot be reached, or the store cannot be written.
    """
    use(key)
    present = store.lookup(key)
    if present is not None:
        return present
    action = remote.action(key)
    if action is None:
        return None
    refused = {} if refused is None else refused
    for upstream in _inputs_first(remote, action, store):
        use(upstream.key)
        _take_once(store, remote, upstream, tell, refused)
    return _take_once(store, remote, action, tell, refused)


def _inputs_first(remote: Remote, action: Action, store: Store) -> list[Action]:
    """Records, at the remote, of direct and indirect inputs that are missing here."""
    records: dict[str, Action] = {}
    pending = list(action.inputs.values())
    while pending:
        key = pending.pop()
        if key in records or key == action.key or store.lookup(key) is not None:
            continue
        found = remote.action(key)
        if found is not None:
            records[key] = found
            pending.extend(found.inputs.values())
    return [one for one in with_inputs([action], records) if one.key != action.key]


def _take_once(
    store: Store, remote: Remote, action: Action, tell: Tell, refused: dict[str, Refused]
) -> Action:
    """Copy an artefact, unless it was `refused` before."""
    if action.key in refused:
        raise refused[action.key]
    try:
        return _take(store, remote, action, tell)
    except Refused as error:
        refused[action.key] = error
        raise


def _take(store: Store, remote: Remote, action: Action, tell: Tell) -> Action:
    """Copy one artefact whose inputs are here: its content, which is checked, then its record.

    The log gets a line, because the time of the record may be lost when the store is copied.
    """
    scratch = store.layout.private(action.key)
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        tell(done, action.size)

    with clear_errors(store.root):
        discard_abandoned(store.layout, action.key)
        try:
            require_links(store.layout, action.key, (store.layout.blobs,))
            make_folder(scratch)
            files = {}
            for sha256, size in blobs_of(action).items():
                files[sha256] = scratch / sha256
                if not _own_copy(store, StoredFile(sha256, size), files[sha256]):
                    remote.download(StoredFile(sha256, size), files[sha256], more)
                    os.chmod(files[sha256], 0o444)
            adopted = store.adopt(action, files)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    store.log_run(action.stage, action.key, "fetched", action.name)
    return adopted


def _own_copy(store: Store, file: StoredFile, target: os.PathLike[str]) -> bool:
    """Link content that exists here already to `target`; returns whether it did."""
    blob = store.layout.blob(file.sha256)
    if has_blob(blob, file.size):
        with suppress(FileNotFoundError, PermissionError):  # removed meanwhile, or another user's
            os.link(blob, target)
            return True
    return False


def fetch_all(store: Store, remote: Remote, use: Use, tell: Tell = _silent) -> Moved:
    """Copy all artefacts of a remote; refused ones are listed and do not stop the others, and so
    are inputs that it lacks."""
    moved, arrived = Moved(), list[Action]()
    refused, content = Counter[str](), dict[str, Refused]()
    keys, before = list(remote.keys()), remote.received
    new = {key for key in keys if not _is_here(store, key)}
    for key in keys:
        try:
            action = fetch(store, remote, key, use, tell, content)
        except (Refused, LaterRecord) as error:
            refused[str(error)] += 1
            continue
        if action is not None:
            moved.artefacts.append(key)
            if key in new:
                moved.sent.append(key)
                arrived.append(action)
    moved.bytes = remote.received - before
    moved.refused += [
        text if count == 1 else f"{text}; {count} artefacts need it"
        for text, count in refused.items()
    ]
    moved.refused += _without_record(arrived, *read_records(store))
    return moved


def _is_here(store: Store, key: str) -> bool:
    try:
        return store.lookup(key) is not None
    except LaterRecord:
        return True
