"""What `unidet data prepare` does: the files of a published dataset, in their places."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unidet.config.prepare import PreparedData, RemoteFile
from unidet.console.terminal import Progress, say, size
from unidet.counts import counted
from unidet.download.archives import is_archive, staging, unpack
from unidet.download.fetch import Expected, disk_errors, name_of, shown
from unidet.errors import UserError, suggestion
from unidet.pipelines.wiring.fetched import add_file
from unidet.pipelines.wiring.prepared_parts import add_complements, add_part
from unidet.pipelines.wiring.prepared_pictures import add_patches, add_single_pictures
from unidet.store.disk import check_folder

DOWNLOADS = "downloads"
"""Below the folder that is prepared: archives on their way, and the sha256 of what has come."""


@dataclass(frozen=True)
class Preparation:
    """A page of `conf/prepare/`, the folder it fills, and the files that are meant."""

    data: PreparedData
    root: Path
    files: dict[str, RemoteFile]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out by name, so that the images of a part follow."""
        needed = {name for name, file in self.data.files.items() if not file.optional}
        return needed <= {*self.files}


def preparation(data: PreparedData, root: Path, only: Sequence[str]) -> Preparation:
    """The files of a page that are not optional, or those that `only` names.

    Raises:
        UserError: a name that the page lacks, a folder that cannot be.
    """
    for name in only:
        if name not in data.files:
            hint = suggestion(name, data.files)
            known = ", ".join(data.files)
            raise UserError(f"--only {name}: there is no such file; {hint}there are {known}")
    check_folder(root)
    names = only or [name for name, file in data.files.items() if not file.optional]
    return Preparation(data, root, {name: data.files[name] for name in names})


def planned(todo: Preparation) -> list[str]:
    """What is there, and what would be fetched, one line each."""
    lines = []
    for name, file in todo.files.items():
        if is_there(todo.root, file):
            lines.append(f"{name}: there")
        else:
            known = size(file.bytes) if file.bytes else "size not published"
            lines.append(f"{name}: {known}, {shown(file.address)}")
    left = [name for name in todo.data.files if name not in todo.files]
    return [*lines, f"only with --only: {', '.join(left)}"] if left else lines


def prepare(todo: Preparation) -> list[str]:
    """Fetch and unpack what is not there, and make what the page makes of it; lines of what could
    not be had, and of what is there now."""
    there = f"{todo.root}: holds {', '.join(todo.files)}"
    unpacked = [*_unpacked(todo)]
    with _alone(todo.root / DOWNLOADS):
        for name, file in todo.files.items():
            if not is_there(todo.root, file):
                _add(todo.root, name, file)
        for place, shown in todo.data.links.items():
            _link(todo.root / place, todo.root / shown)
        add_complements(todo.data, todo.root)
        if not todo.is_whole:
            return [*unpacked, there]
        notes = add_single_pictures(todo.data, todo.root)
        add_part(todo.data, todo.root)
        notes += add_patches(todo.data, todo.root, todo.root / DOWNLOADS)
        return [*unpacked, *notes, there]


def _unpacked(todo: Preparation) -> Iterator[str]:
    """A line for each archive that a process left which was killed when it had unpacked it."""
    for file in todo.files.values():
        archive = todo.root / DOWNLOADS / name_of(file.address)
        if is_archive(archive.name) and archive.exists() and is_there(todo.root, file):
            yield f"{archive}: is unpacked already; it may be removed"


def is_there(root: Path, file: RemoteFile) -> bool:
    """Whether all that a file leaves is in its place, whoever put it there."""
    if not file.leaves:
        return (root / file.into / name_of(file.address)).exists()
    if staging(root / DOWNLOADS / name_of(file.address), root / file.into).exists():
        return False
    return all(_holds(root / place, count) for place, count in file.leaves.items())


def _holds(place: Path, count: int) -> bool:
    if not place.is_dir():
        return place.exists()
    return bool(count == 0 or sum(1 for _ in place.iterdir()) >= count)


def _add(root: Path, name: str, file: RemoteFile) -> None:
    """Fetch a file, and unpack it where it is an archive."""
    if not is_archive(name_of(file.address)):
        add_file(
            file.address,
            root / file.into / name_of(file.address),
            Expected(file.bytes, file.sha256),
        )
        return
    archive = root / DOWNLOADS / name_of(file.address)
    if not archive.exists():
        add_file(file.address, archive, Expected(file.bytes, file.sha256))
    say(f"unpacking {archive.name}")

    def wants(member: str) -> bool:
        path = Path(file.into) / member
        return any(path.is_relative_to(place) for place in file.leaves)

    progress = Progress(f"files of {archive.name}", stoppable=False)
    count = unpack(archive, root / file.into, wants, lambda done: progress.update(done, done))
    progress.close()
    if not is_there(root, file):
        raise UserError(
            f"{archive}: holds {counted(count, 'file')} of {', '.join(file.leaves)}, fewer than "
            f"expected; correct files.{name}.leaves if the archive has changed"
        )
    archive.unlink()


def _link(place: Path, shown: Path) -> None:
    """Let a folder show another one that is there, unless something of its name is."""
    if os.path.lexists(place) or not shown.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.symlink_to(os.path.relpath(shown, place.parent), target_is_directory=True)
    except OSError as fault:
        raise UserError(
            f"{place}: cannot be made a link to {shown} ({fault.strerror}); make it a copy"
        ) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Meanwhile no other process prepares the same folder."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"{folder.parent}: another process prepares it; wait for its end") from None
    try:
        yield
    finally:
        lock.release()
