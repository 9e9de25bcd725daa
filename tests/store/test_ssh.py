"""Downloads over SFTP ask for a whole piece at once, and end in one error when the line does."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.sftp import CMD_READ

from unidet.errors import UserError
from unidet.store.paths import Layout
from unidet.store.record import StoredFile
from unidet.store.remote import Refused, Remote
from unidet.store.ssh import _Ahead

CONTENT = os.urandom(5_000_000)  # two pieces; the last request is of no whole 32 kB
FILE = StoredFile(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.fixture
def remote(sshd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """One that has `FILE`."""
    blob = Layout(tmp_path / "remote").blob(FILE.sha256)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    monkeypatch.setenv("HOME", str(sshd.home))
    return Remote(sshd.url(tmp_path / "remote"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(bytes asked for, requests to read that wait for their answer) of each request to read."""
    asked: list[tuple[int, int]] = []
    waiting = 0
    ask, answered = _Ahead._ask, _Ahead._async_response

    def asking(self: Any, place: int, length: int) -> int:
        nonlocal waiting
        waiting += 1
        asked.append((length, waiting))
        return ask(self, place, length)

    def answering(self: Any, *given: Any) -> None:
        nonlocal waiting
        waiting -= 1
        answered(self, *given)

    monkeypatch.setattr(_Ahead, "_ask", asking)
    monkeypatch.setattr(_Ahead, "_async_response", answering)
    return asked


def test_a_piece_is_asked_for_at_once(
    remote: Remote, tmp_path: Path, reads: list[tuple[int, int]]
) -> None:
    """Not 32 kB at a time, each of which waits for the answer to the one before."""
    remote.download(FILE, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert max(waiting for _, waiting in reads) > 20


def test_a_server_that_answers_before_the_next_request_sends_everything_once(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paramiko's own reading ahead asks twice, and keeps in memory what nobody reads."""
    asked = 0
    ask = paramiko.SFTPClient._async_request

    def slowly(self: Any, file: Any, kind: int, *given: Any) -> Any:
        nonlocal asked
        number = ask(self, file, kind, *given)
        if kind == CMD_READ:
            asked += given[-1]
            time.sleep(0.002)
        return number

    monkeypatch.setattr(paramiko.SFTPClient, "_async_request", slowly)
    remote.download(FILE, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert asked <= len(CONTENT) + 3  # asked for once more where it may end


def test_a_server_that_sends_less_than_it_was_asked_for(
    remote: Remote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reads: list[tuple[int, int]],
) -> None:
    """What is missing is asked for, not the whole piece again."""
    ask = _Ahead._ask
    monkeypatch.setattr(
        _Ahead, "_ask", lambda self, place, length: ask(self, place, min(length, 15_000))
    )
    remote.download(FILE, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert len(reads) < 500


def test_a_file_that_ends_early_ends_no_transfer(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = remote.layout.blob(FILE.sha256)
    with pytest.raises(Refused, match="does not have this hash"):
        remote.download(FILE, tmp_path / "arrived", lambda _: os.truncate(blob, 4_200_000))
    assert not (tmp_path / "arrived").exists()


def test_a_line_that_ends_is_one_error(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the connection was lost"):
        remote.download(FILE, tmp_path / "arrived", lambda _: remote.cut())
    assert not (tmp_path / "arrived").exists()
