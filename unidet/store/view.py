"""The folder of an artefact as people see it: read-only hard links to blobs, rebuilt at need."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from unidet.errors import UserError
from unidet.store.disk import discard, make_folder
from unidet.store.ingest import rescue
from unidet.store.live import discard_abandoned
from unidet.store.paths import Layout
from unidet.store.record import Action


def materialise(action: Action, layout: Layout) -> Path:
    """The folder that holds exactly the files of `action`, built or completed where necessary.

    Raises:
        UserError: there is a visible file in it that is no part of the artefact.
    """
    folder = layout.artefact(action.stage, action.output)
    wrong = _wrong_files(folder, action, layout)
    if wrong or not folder.is_dir():
        _build(folder, wrong, action, layout)
    _refuse_strangers(folder, action)
    return folder


def _wrong_files(folder: Path, action: Action, layout: Layout) -> list[str]:
    """Files that are missing or are not the blob they should be."""

    def is_linked(name: str, sha256: str) -> bool:
        try:
            return os.path.samestat(os.lstat(folder / name), os.lstat(layout.blob(sha256)))
        except (FileNotFoundError, NotADirectoryError):
            return False

    return [name for name, file in action.files.items() if not is_linked(name, file.sha256)]


def _build(folder: Path, names: list[str], action: Action, layout: Layout) -> None:
    """Link `names` into a private folder; a new artefact appears whole, an old one is completed."""
    discard_abandoned(layout, action.key)
    scratch = layout.private(action.key)
    make_folder(scratch)
    for name in names:
        target = scratch / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(layout.blob(action.files[name].sha256), target)
        except FileNotFoundError:
            if not rescue(action.files[name], layout):
                raise
            os.link(layout.blob(action.files[name].sha256), target)
    make_folder(folder.parent)
    try:
        os.rename(scratch, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch / name, target)
        discard(scratch, layout.trash)


def _refuse_strangers(folder: Path, action: Action) -> None:
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            relative = Path(base, name).relative_to(folder).as_posix()
            if relative not in action.files and not name.startswith("."):
                raise UserError(
                    f"{folder / relative} is no part of this artefact, which would change what is "
                    f"read from it; move it elsewhere"
                )
