"""Each of several processes on a machine sees the GPU of its number."""

from __future__ import annotations

import os

import pytest

from unidet.backend.gpu import NoCuda
from unidet.backend.process_gpus import COUNT, RANK, VISIBLE, take_own_gpu


@pytest.mark.parametrize(
    ("shown", "seen"),
    [(None, "012"), ("0,1,2,3", "012"), ("5,1,7", "517"), ("a,b,c,d", "abc")],
)
def test_each_takes_the_one_of_its_number(
    monkeypatch: pytest.MonkeyPatch, shown: str | None, seen: str
) -> None:
    monkeypatch.setenv(COUNT, "3")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "9")  # on another machine than the first
    taken = ""
    for rank in range(3):
        monkeypatch.delenv(VISIBLE, raising=False)
        if shown is not None:
            monkeypatch.setenv(VISIBLE, shown)
        monkeypatch.setenv(RANK, str(rank))
        take_own_gpu()
        taken += os.environ[VISIBLE]
    assert taken == seen


def test_fewer_than_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COUNT, "3")
    monkeypatch.setenv(VISIBLE, "2")
    with pytest.raises(NoCuda, match=r"need a GPU each, one GPU is shown .*: train\.processes=1$"):
        take_own_gpu()
