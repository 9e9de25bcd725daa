"""Per-image results of variable length, in shards that an interrupted stage need not repeat.

A shard holds `rows` (n,) of its images, `digests` (n, 32) of what their results were made from,
`offsets` (n + 1,), and any number of columns whose entries offsets[i]:offsets[i + 1] belong to
image rows[i].
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from unidet.console.terminal import Progress
from unidet.errors import UserError
from unidet.store.arrays import malformed, map_arrays, readable, require_arrays, save_arrays
from unidet.store.disk import read_plain, remove, sync, unreadable_is_damaged
from unidet.store.hashing import sha256_file

if TYPE_CHECKING:
    import numpy as np

Columns: TypeAlias = "Mapping[str, np.ndarray]"
Results = Callable[[Sequence[int]], Iterator[tuple[int, Columns]]]
"""Rows of images to each row with its columns, in any order."""
DigestOf = Callable[[int], bytes]
"""Row of an image to the sha256 of all that belongs to this image alone in making its results."""
FOLDER = "shards"
_OF_SHARDS = ("rows", "digests", "offsets")
_LENGTHS: Mapping[str, tuple[int | None, ...]] = {
    "boxes_xyxy": (4,),
    "scores": (),
    "proposal_scores": (),
    "embeddings": (None,),
}
"""Lengths of an entry, of the columns that stages write."""
SHARDS = "images"
"""Folder of the shards in the artefact of a stage that runs a network over images."""


@dataclass(frozen=True)
class ShardSet:
    """The shards of one image set, over the rows 0 … `images` - 1.

    `place` is their folder, relative to the artefact. Until they are gathered into it they wait in
    the working folder, where any number of processes may fill them and the next run finds them:
    those of this very plan, for another number of images a shard gives the same numbers other rows.
    """

    place: str
    images: int
    per_shard: int

    def __len__(self) -> int:
        return -(-self.images // self.per_shard)

    def missing(self, work: Path) -> list[int]:
        """The numbers of the unfinished shards."""
        return [number for number in range(len(self)) if not self._file(work, number).exists()]

    def fill(
        self,
        work: Path,
        results_of: Results,
        digest_of: DigestOf,
        progress: Progress,
    ) -> None:
        """Compute every shard that no other process has claimed."""
        self._file(work, 0).parent.mkdir(parents=True, exist_ok=True)
        found_work = True
        while found_work:  # again, for another process may have died and left its shard
            found_work = False
            for number in self.missing(work):
                file = self._file(work, number)
                with _claimed(file) as mine:
                    if mine and not file.exists():
                        self._make(file, number, results_of, digest_of, progress)
                        found_work = True

    def gather(self, work: Path, out: Path) -> Path:
        """Move the finished shards into the artefact at `out`; returns their folder there.

        Every image is in it once.

        Raises:
            FileNotFoundError: a shard is missing.
            UserError: one is damaged; it is gone then, and the next run makes it again.
        """
        files = [self._file(work, number) for number in range(len(self))]
        for file in files:
            _check(file)
        folder = out / self.place
        folder.mkdir(parents=True)
        for file in files:
            file.replace(folder / file.name)
        return folder

    def put_back(self, work: Path, out: Path) -> None:
        """Undo `gather` where what follows it has failed: the next run need not make them again."""
        for number in range(len(self)):
            file = self._file(work, number)
            with suppress(FileNotFoundError):
                (out / self.place / file.name).replace(file)

    def _file(self, work: Path, number: int) -> Path:
        plan = f"{self.images}-by-{self.per_shard}"
        return work / FOLDER / self.place / plan / f"shard-{number:05d}.npz"

    def _rows(self, number: int) -> range:
        first = number * self.per_shard
        return range(first, min(first + self.per_shard, self.images))

    def _make(
        self,
        file: Path,
        number: int,
        results_of: Results,
        digest_of: DigestOf,
        progress: Progress,
    ) -> None:
        rows = self._rows(number)
        parts: dict[int, Columns] = {}
        for row, part in results_of(rows):
            parts[row] = part
            progress.update(rows.start + len(parts), self.images)
        _save(file, rows, [parts[row] for row in rows], [digest_of(row) for row in rows])


def _seal_of(file: Path) -> Path:
    """Where the SHA-256 of a finished shard lies while it waits."""
    return file.with_suffix(".sha256")


def _check(file: Path) -> None:
    """Check that a shard is as it was written, byte for byte."""
    if stat.S_ISREG(file.lstat().st_mode):
        with suppress(FileNotFoundError, ValueError), unreadable_is_damaged():
            digest = sha256_file(file)
            if read_plain(_seal_of(file), len(digest)) == digest.encode():
                return
    remove(file)
    raise UserError(f"{file} was damaged and is removed; the same command makes it again")


@contextmanager
def _claimed(file: Path) -> Iterator[bool]:
    """Whether this process has claimed the shard; a claim ends with its process.

    Where a file system knows no locks two processes may make the same shard: the same bytes twice.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file.with_suffix(".claim"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def draft_of(file: Path) -> Path:
    """The private path at which this process writes `file` before moving it into place."""
    return file.with_name(f".{file.name}.{socket.gethostname()}-{os.getpid()}")


def _save(file: Path, rows: range, parts: list[Columns], digests: list[bytes]) -> None:
    import numpy as np

    lengths = [len(next(iter(part.values()))) for part in parts]
    arrays = {
        "rows": np.array(rows, np.int64),
        "digests": np.frombuffer(b"".join(digests), np.uint8).reshape(len(rows), 32),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
    }
    draft = draft_of(file)
    try:
        with draft.open("wb") as opened:
            save_arrays(opened, arrays)
            opened.flush()
            os.fsync(opened.fileno())
        remove(_seal_of(file))
        _seal_of(file).write_text(sha256_file(draft))  # before the shard, which is none without it
        sync(_seal_of(file))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


class _Read(dict[str, Any]):
    """The columns of an image in a shard, which may come from elsewhere."""

    def __init__(self, file: Path, columns: Columns) -> None:
        super().__init__(columns)
        self._file = file

    def __missing__(self, name: str) -> np.ndarray:
        malformed(self._file, f"there is no array {name}")


def _mapped(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard.

    Raises:
        Malformed: they do not fit each other.
    """
    with readable(file):
        arrays = map_arrays(file)
    require_arrays(file, arrays, {"rows": ("i", (None,)), "offsets": ("i", (None,))})
    offsets, count = arrays["offsets"], len(arrays["rows"])
    require_arrays(file, arrays, {"offsets": ("i", (count + 1,)), "digests": ("u", (count, 32))})
    if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any():
        malformed(file, "offsets do not ascend from 0")
    for name, column in arrays.items():
        if name not in _OF_SHARDS:
            lengths = (int(offsets[-1]), *_LENGTHS.get(name, column.shape[1:]))
            require_arrays(file, arrays, {name: ("fiu", lengths)})
    return arrays


class Sharded:
    """Reads the shards of `folder`, whichever image is asked for: one at a time is mapped into
    memory, none is loaded."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self._folder = folder
        self._files = sorted(folder.glob("shard-*.npz"))
        parts = [_mapped(file)["rows"].copy() for file in self._files]  # no mapping is kept
        counts = [len(part) for part in parts]
        rows = np.concatenate([np.zeros(0, np.int64), *parts])
        order = np.argsort(rows)
        if not np.array_equal(rows[order], np.arange(len(rows))):
            malformed(folder, f"not every one of {len(rows)} images once")
        self._shards = np.repeat(np.arange(len(parts)), counts)[order]
        self._places = np.concatenate([np.zeros(0, np.int64), *map(np.arange, counts)])[order]
        self._mapped: tuple[int, dict[str, np.ndarray]] = (-1, {})

    def __len__(self) -> int:
        return len(self._shards)

    @cached_property
    def rows_by_digest(self) -> dict[bytes, int]:
        """The row of an image by the sha256 of what its results were made from."""
        shards = map(_mapped, self._files)
        return {
            digest.tobytes(): row
            for shard in shards
            for row, digest in zip(shard["rows"].tolist(), shard["digests"], strict=True)
        }

    def of(self, row: int) -> dict[str, np.ndarray]:
        """The columns of the image at `row`.

        Raises:
            Malformed: it is not among them, or its numbers are none.
        """
        import numpy as np

        if row >= len(self):
            malformed(self._folder, f"no results of image {row} among {len(self)}")
        shard, place = int(self._shards[row]), int(self._places[row])
        arrays, file = self._arrays(shard), self._files[shard]
        first, last = arrays["offsets"][place : place + 2].tolist()
        columns = {
            name: column[first:last].copy()
            for name, column in arrays.items()
            if name not in _OF_SHARDS
        }
        for name, column in columns.items():
            if not np.isfinite(column).all():
                malformed(file, f"{name} of image {row} is not finite")
        return _Read(file, columns)

    def _arrays(self, shard: int) -> dict[str, np.ndarray]:
        known, arrays = self._mapped  # another thread may be at another shard
        if known != shard:
            arrays = _mapped(self._files[shard])
            self._mapped = shard, arrays
        return arrays
