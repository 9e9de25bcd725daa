"""Arrays that grow: the same content in memory and in a file, and files leave memory again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from disks import no_room

from unidet.errors import UserError
from unidet.formats import growing
from unidet.formats.growing import Growing, blocks, forget, taken


def mapped_megabytes() -> float:
    """What of this process's memory files hold."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"RssFile:\s+(\d+) kB", status)[0]) / 1000


@pytest.mark.parametrize("in_memory", [0, 40, 1 << 20])
def test_parts_follow_one_another(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "IN_MEMORY", in_memory)
    boxes, labels = Growing(np.float32, 2), Growing(np.int64)
    for start in range(0, 12, 3):
        boxes.add(np.arange(start, start + 3)[:, None] * [1, 10])
        labels.add(np.arange(start, start + 3))
        assert len(boxes) == len(labels) == start + 3
    column = boxes.array()
    assert (column.dtype, column.shape) == (np.float32, (12, 2))
    assert column[:, 1].tolist() == [*range(0, 120, 10)]
    assert taken(column, np.array([7, 2])).tolist() == [[7, 70], [2, 20]]
    assert labels.array().tolist() == [*range(12)]


def test_nothing_is_an_array_too() -> None:
    assert Growing(np.int64).array().shape == (0,)
    assert Growing(np.float32, 4).array().shape == (0, 4)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "IN_MEMORY", 0)
    grown = Growing(np.int64)
    with no_room(100), pytest.raises(UserError, match="or name another folder by TMPDIR"):
        grown.add(np.arange(100))


def test_what_was_seen_of_a_file_leaves_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "IN_MEMORY", 0)
    monkeypatch.setattr(growing, "BLOCK", 1 << 18)
    grown = Growing(np.float64, 4)
    for _ in range(4):
        grown.add(np.ones((1 << 18, 4)))
    column = grown.array()  # 33 MB
    before = mapped_megabytes()
    assert column.sum() == 1 << 22
    assert mapped_megabytes() > before + 30
    forget(column)
    assert mapped_megabytes() < before + 2
    most = max(mapped_megabytes() for block in blocks(column) if column[block].sum())
    assert most < before + 12
