"""The folder of an artefact: read-only hard links to blobs, rebuilt when needed.

Linux may forbid a link to another user's blob (fs.protected_hardlinks), and file systems one more
than they can count (ext4: 65,000, to what as many artefacts share); then the blob is copied.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from unidet.errors import UserError
from unidet.store.disk import discard, make_folder
from unidet.store.hashing import copy_hashed, sha256_file
from unidet.store.ingest import rescue
from unidet.store.live import discard_abandoned
from unidet.store.paths import Layout
from unidet.store.record import Action, StoredFile
from unidet.store.walking import walk

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_NO_LINK = (errno.EPERM, errno.EACCES, errno.EMLINK)


def materialise(action: Action, layout: Layout) -> Path:
    """The folder with exactly the files of `action`, built or completed where necessary.

    Raises:
        UserError: it contains a visible file that is not part of the artefact, a link or file in
            place of a folder into which a file belongs, or a folder in place of a file.
    """
    folder = layout.artefact(action.stage, action.output)
    wrong = _wrong_files(folder, action, layout)
    if wrong or not folder.is_dir():
        _refuse_taken(folder, wrong)
        _build(folder, wrong, action, layout)
    _refuse_other_files(folder, action)
    return folder


def _wrong_files(folder: Path, action: Action, layout: Layout) -> list[str]:
    """Files that are missing or differ from their blob."""

    def is_right(name: str, file: StoredFile) -> bool:
        try:
            found, blob = os.lstat(folder / name), os.lstat(layout.blob(file.sha256))
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            return False
        return os.path.samestat(found, blob) or _is_copy(folder / name, found, file)

    return [name for name, file in action.files.items() if not is_right(name, file)]


def _is_copy(path: Path, found: os.stat_result, file: StoredFile) -> bool:
    """Whether it is a read-only copy of the blob; this reads its content."""
    plain = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o222
    return plain and found.st_size == file.size and sha256_file(path) == file.sha256


def _refuse_taken(folder: Path, names: list[str]) -> None:
    """A file put where a link leads would replace one there; into a file none can be put, nor in
    place of a folder."""
    places = {folder, *(place for name in names for place in (folder / name).parents)}
    for place in sorted(place for place in places if place.is_relative_to(folder)):
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            what = "link" if place.is_symlink() else "file"
            raise UserError(f"{place} is a {what} in place of a folder of this artefact; remove it")
    for place in (folder / name for name in names):
        if place.is_dir() and not place.is_symlink():
            raise UserError(f"{place} is a folder in place of a file of this artefact; remove it")


def _build(folder: Path, names: list[str], action: Action, layout: Layout) -> None:
    """Link `names` into a private folder and move it into place, or complete the existing one."""
    discard_abandoned(layout, action.key)
    scratch = layout.private(action.key)
    make_folder(scratch)
    for name in names:
        target = scratch / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _link_or_copy(layout.blob(action.files[name].sha256), target)
        except FileNotFoundError:
            if not rescue(action.files[name], layout):
                raise
            _link_or_copy(layout.blob(action.files[name].sha256), target)
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


def _link_or_copy(blob: Path, target: Path) -> None:
    try:
        os.link(blob, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        copy_hashed(blob, target)
        os.chmod(target, 0o444)
    else:
        mode = stat.S_IMODE(os.stat(target).st_mode)
        if mode & 0o222:  # it was pushed here; edits would alter what is stored
            with suppress(PermissionError):  # another user's
                os.chmod(target, mode & ~0o222)


def _refuse_other_files(folder: Path, action: Action) -> None:
    for base, folders, names in walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            relative = Path(base, name).relative_to(folder).as_posix()
            if relative not in action.files and not name.startswith("."):
                raise UserError(
                    f"{folder / relative} is not part of this artefact and would change what is "
                    f"read from it; move it elsewhere"
                )
