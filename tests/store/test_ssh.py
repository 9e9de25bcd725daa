"""Downloads over SFTP ask for a whole piece at once, and end in one error when the line does."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import paramiko
import pytest

from unidet.errors import UserError
from unidet.store.paths import Layout
from unidet.store.record import StoredFile
from unidet.store.remote import Remote

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


def test_a_piece_is_asked_for_at_once(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not 32 kB at a time, each of which waits for the answer to the one before."""
    waiting = most = 0
    ask, answered = paramiko.SFTPClient._async_request, paramiko.SFTPFile._async_response

    def asking(self: Any, file: Any, *given: Any) -> Any:
        nonlocal waiting, most
        waiting += isinstance(file, paramiko.SFTPFile)  # not what is waited for at once
        most = max(most, waiting)
        return ask(self, file, *given)

    def answering(self: Any, *given: Any) -> Any:
        nonlocal waiting
        waiting -= 1
        return answered(self, *given)

    monkeypatch.setattr(paramiko.SFTPClient, "_async_request", asking)
    monkeypatch.setattr(paramiko.SFTPFile, "_async_response", answering)
    remote.download(FILE, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert most > 20


def test_a_line_that_ends_is_one_error(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that asks ahead fails too, and nobody waits for that."""
    failed: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    asking = threading.active_count()
    with pytest.raises(UserError, match="the connection was lost"):
        remote.download(FILE, tmp_path / "arrived", lambda _: remote.cut())
    for thread in threading.enumerate()[asking:]:
        thread.join(10)
    assert failed == []
    assert not (tmp_path / "arrived").exists()


@pytest.mark.parametrize("more", [100_000, -100_000])
def test_a_server_that_tells_another_size_while_it_sends(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    told = paramiko.SFTPFile.stat

    def telling(self: paramiko.SFTPFile) -> paramiko.SFTPAttributes:
        state = told(self)
        state.st_size = (state.st_size or 0) + more
        return state

    monkeypatch.setattr(paramiko.SFTPFile, "stat", telling)
    remote.download(FILE, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == CONTENT
