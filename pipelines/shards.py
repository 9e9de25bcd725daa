"""Per-image results of variable length, in shards that an interrupted stage need not repeat.

A shard holds `rows` (n,) of its images, `offsets` (n + 1,) and any number of columns whose entries
offsets[i]:offsets[i + 1] belong to image rows[i].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from unidet.terminal import Progress

Columns = Mapping[str, np.ndarray]


def write_shards(
    folder: Path,
    work: Path,
    images: int,
    per_shard: int,
    results_of: Callable[[Sequence[int]], Iterator[Columns]],
    progress: Progress,
) -> None:
    """Fill `folder` with shards over the rows 0 … `images` - 1.

    `results_of(rows)` yields one image's columns after another. Finished shards wait in `work`
    and are taken over by the next run.
    """
    work.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    for number, first in enumerate(range(0, images, per_shard)):
        rows = range(first, min(first + per_shard, images))
        file = work / f"shard-{number:05d}.npz"
        if not file.exists():
            parts = []
            for part in results_of(rows):
                parts.append(part)
                progress.update(first + len(parts), images)
            _save(file, rows, parts)
        progress.update(rows[-1] + 1, images)
    for file in sorted(work.glob("shard-*.npz")):
        file.replace(folder / file.name)


def _save(file: Path, rows: range, parts: list[Columns]) -> None:
    lengths = [len(next(iter(part.values()))) for part in parts]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    draft = file.with_suffix(".draft.npz")
    np.savez(
        draft,
        rows=np.array(rows, np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        **columns,
    )
    draft.replace(file)


class Sharded:
    """Reads the shards of `folder`, one in memory at a time: ask for rows in ascending order."""

    def __init__(self, folder: Path) -> None:
        self._place: dict[int, tuple[Path, int]] = {}
        self._loaded: tuple[Path | None, dict[str, np.ndarray]] = (None, {})
        for file in sorted(folder.glob("shard-*.npz")):
            with np.load(file) as arrays:
                for position, row in enumerate(arrays["rows"]):
                    self._place[int(row)] = (file, position)

    def __len__(self) -> int:
        return len(self._place)

    def of(self, row: int) -> dict[str, np.ndarray]:
        """The columns of the image at `row`."""
        file, position = self._place[row]
        arrays = self._arrays(file)
        first, last = arrays["offsets"][position : position + 2]
        return {
            name: column[first:last]
            for name, column in arrays.items()
            if name not in ("rows", "offsets")
        }

    def _arrays(self, file: Path) -> dict[str, np.ndarray]:
        if self._loaded[0] != file:
            with np.load(file) as arrays:
                self._loaded = (file, {name: arrays[name] for name in arrays.files})
        return self._loaded[1]
