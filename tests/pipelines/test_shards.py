"""Shards: written once, resumed by shard, read back by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from unidet.pipelines.shards import Columns, Sharded, write_shards


class Silent:
    def update(self, done: int, total: int, note: str = "") -> None: ...


def columns_of(row: int) -> Columns:
    """Image `row` has `row` entries; image 0 has none."""
    return {
        "boxes_xyxy": np.full((row, 4), row, np.float32),
        "scores": np.arange(row, dtype=np.float32),
    }


def test_every_image_comes_back(tmp_path: Path) -> None:
    write_shards(
        tmp_path / "out", tmp_path / "work", 5, 2, lambda rows: map(columns_of, rows), Silent()
    )
    assert len(list((tmp_path / "out").iterdir())) == 3
    shards = Sharded(tmp_path / "out")
    assert len(shards) == 5
    for row in range(5):
        found = shards.of(row)
        assert found["boxes_xyxy"].tolist() == [[row] * 4] * row
        assert found["scores"].tolist() == list(range(row))


def test_finished_shards_are_not_computed_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def results(rows: Sequence[int]) -> Iterator[Columns]:
        for row in rows:
            asked.append(row)
            if row == 3 and asked.count(3) == 1:
                raise RuntimeError("power cut")
            yield columns_of(row)

    with pytest.raises(RuntimeError):
        write_shards(tmp_path / "one", tmp_path / "work", 5, 2, results, Silent())
    write_shards(tmp_path / "two", tmp_path / "work", 5, 2, results, Silent())
    assert asked == [0, 1, 2, 3, 2, 3, 4]
    assert len(Sharded(tmp_path / "two")) == 5
