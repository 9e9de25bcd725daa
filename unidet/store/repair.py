"""Repairs problems that `verify` found, with content from the trash or from a remote.

What cannot be restored is set aside, so that the stage runs again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from unidet.counts import counted
from unidet.store import runs
from unidet.store.disk import clear_errors, make_folder, set_aside, sync
from unidet.store.hashing import sha256_file
from unidet.store.ingest import link_back
from unidet.store.places import no_folders
from unidet.store.record import StoredFile
from unidet.store.remote import Refused, Remote
from unidet.store.store import Store
from unidet.store.transfer import fetch
from unidet.store.verify import Findings, Problem

Use = Callable[..., None]
Refuse = Callable[[str], None]
MOVED = "moved to the trash; the store makes its folder again"
SET_ASIDE = "set aside in the trash; the next run that needs it makes it again"


def free_folders(store: Store) -> dict[str, str]:
    """Move files that stand in place of folders of the store to the trash, before `repair`.

    Without these folders this process cannot even mark what it uses.

    Returns:
        paths relative to the folder of the store -> what was done.

    Raises:
        UserError: the store cannot be written.
    """
    base, trash = store.layout.base, store.layout.trash
    taken = [path for path in no_folders(base) if path != trash]
    with clear_errors(store.root):
        for path in taken:
            set_aside(path, trash)
    return dict.fromkeys((path.relative_to(base).as_posix() for path in taken), MOVED)


def repair(
    store: Store,
    found: Findings,
    remote: Remote | None,
    use: Use,
    refuse: Refuse = lambda _: None,
) -> dict[str, str]:
    """Restore content where possible, and set damaged content and records aside.

    Content that matches its name stays, even if a record gives it another size. Unexpected files
    stay, because they may belong to a user.

    Args:
        refuse: gets a line for content that the remote lacks, and for what is damaged there too.

    Returns:
        path of a problem -> what was done, for problems that are solved.

    Raises:
        UserError: the remote cannot be reached, or the store cannot be written.
    """
    fates: dict[str, str] = {}
    with clear_errors(store.root):
        for problem in found.problems:
            fate = _repair(store, problem, remote, use, refuse)
            if fate:
                fates[problem.path] = fate
    return fates


def _repair(store: Store, problem: Problem, remote: Remote | None, use: Use, refuse: Refuse) -> str:
    path = store.layout.base / problem.path
    with suppress(FileNotFoundError):  # a concurrent clean-up may have removed it
        if problem.kind in ("altered", "missing"):
            return _content(store, path, problem.kind, remote, refuse)
        if problem.kind == "damaged" and path.parent == store.layout.runs:
            return _log(store, path)
        if problem.kind == "damaged":
            return _record(store, path, remote, use, refuse)
    return ""


def _content(store: Store, blob: Path, kind: str, remote: Remote | None, refuse: Refuse) -> str:
    fate = ""
    if kind == "altered" and not _is_whole(blob):
        set_aside(blob, store.layout.trash)
        fate = SET_ASIDE
    sizes = _sizes_of(store, blob.name)
    if sizes and _from_trash(store, blob):
        return "brought back from the trash"
    wanted = (StoredFile(blob.name, size) for size in sizes)
    if remote is not None and any(_came(store, blob, one, remote, refuse) for one in wanted):
        return f"brought back from {remote.url}"
    return fate


def _is_whole(blob: Path) -> bool:
    """Whether the content matches the name; False for a folder and what the disk cannot read."""
    try:
        return sha256_file(blob) == blob.name
    except OSError:
        return False


def _sizes_of(store: Store, sha256: str) -> list[int]:
    """Sizes that records give for this content; more than one if a record is wrong."""
    files = (file for action in store.actions() for file in action.files.values())
    return sorted({file.size for file in files if file.sha256 == sha256})


def _from_trash(store: Store, blob: Path) -> bool:
    dropped = store.layout.dropped_blobs / blob.name
    if not dropped.is_file() or not _is_whole(dropped):
        return False
    make_folder(blob.parent)
    os.replace(dropped, blob)
    sync(blob.parent)
    return True


def _came(store: Store, blob: Path, file: StoredFile, remote: Remote, refuse: Refuse) -> bool:
    """Bring content from the remote, if it has it; returns whether it did."""
    try:
        _download(store, blob, file, remote)
    except Refused as error:
        refuse(str(error))
        return False
    return True


def _download(store: Store, blob: Path, file: StoredFile, remote: Remote) -> None:
    scratch = store.layout.private(file.sha256)
    try:
        make_folder(scratch)
        make_folder(blob.parent)
        remote.download(file, scratch / file.sha256)
        os.chmod(scratch / file.sha256, 0o444)
        os.replace(scratch / file.sha256, blob)
        sync(blob.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _log(store: Store, path: Path) -> str:
    """Empty the lines of a log of runs that cannot be read; a copy of the file is set aside."""
    scratch = store.layout.private(sha256_file(path))
    try:
        make_folder(scratch)
        shutil.copyfile(path, scratch / path.name)
        set_aside(scratch / path.name, store.layout.trash)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    lines = counted(runs.blank(path), "line")
    return f"{lines} emptied, a copy set aside in the trash; the other lines stay"


def _record(store: Store, path: Path, remote: Remote | None, use: Use, refuse: Refuse) -> str:
    aside = set_aside(path, store.layout.trash)
    is_record = path.suffix == ".json" and path.parent.parent == store.layout.actions
    if remote is not None and is_record:
        try:
            if fetch(store, remote, path.stem, use) is not None:
                return f"brought back from {remote.url}"
        except Refused as error:
            refuse(str(error))
        except BaseException:  # the next repair must find it, or it would not ask the remote again
            with suppress(FileExistsError, FileNotFoundError):
                link_back(aside, path)
            raise
    return SET_ASIDE
