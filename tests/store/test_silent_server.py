"""A real SSH server whose session stops in the middle of a transfer, as when its machine hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, eventually

from unidet.errors import UserError
from unidet.store.record import Action
from unidet.store.remote import Remote
from unidet.store.store import Store
from unidet.store.transfer import fetch, push
from unidet.store.verify import verify

Publish = Callable[..., Action]
pytestmark = pytest.mark.slow  # it waits for what does not come
PATIENCE = 1.0
LIMIT = 15.0  # seconds; far below what waits without an end of ours
BIG = {"model": bytes(range(256)) * (32 << 10)}  # 8 MB: more than an SSH window holds


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def below(pid: int) -> list[int]:
    """All processes that a process has started, directly or not."""
    everyone = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    children = [one for one in everyone if parent_of(one) == pid]
    return children + [far for one in children for far in below(one)]


class Sessions:
    """Those of a server that have begun since this was made."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._others = below(server.pid)
        self._stopped: list[int] = []

    def stop(self) -> None:
        self._stopped = [pid for pid in below(self._server.pid) if pid not in self._others]
        assert self._stopped
        for pid in self._stopped:
            with suppress(ProcessLookupError):  # of an earlier session, which was about to end
                os.kill(pid, signal.SIGSTOP)

    def end(self) -> None:
        while self._stopped:
            with suppress(ProcessLookupError):
                os.kill(self._stopped.pop(), signal.SIGKILL)


@pytest.fixture
def sessions(sshd: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sessions]:
    monkeypatch.setenv("HOME", str(sshd.home))
    monkeypatch.setattr("unidet.store.ssh.PATIENCE", PATIENCE)
    running = Sessions(sshd)
    yield running
    running.end()


def stops_before(step: str, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server falls silent as this method of the remote begins."""
    do = getattr(Remote, step)

    def stopping(self: Remote, *arguments: Any) -> Any:
        sessions.stop()
        return do(self, *arguments)

    monkeypatch.setattr(Remote, step, stopping)


@pytest.mark.parametrize("step", ["blobs", "upload", "put_record"])
def test_a_push_gives_up(
    store: Store,
    publish: Publish,
    sshd: Any,
    sessions: Sessions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    action = publish(BIG)
    url = sshd.url(tmp_path / "remote")
    with monkeypatch.context() as silent:
        stops_before(step, sessions, silent)
        started = time.monotonic()
        with pytest.raises(UserError, match=f"remote {url}: does not answer; look at"):
            push(store, Remote(url), [action])
        assert time.monotonic() - started < LIMIT
    assert push(store, Remote(url), [action]).sent == [action.key]
    assert verify(Store(tmp_path / "remote")).problems == ()


@pytest.mark.parametrize("step", ["action", "download"])
def test_a_fetch_gives_up(
    store: Store,
    publish: Publish,
    sshd: Any,
    sessions: Sessions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    action, other = publish(BIG), Store(tmp_path / "other")
    push(store, Remote(str(tmp_path / "remote")), [action])
    with monkeypatch.context() as silent:
        stops_before(step, sessions, silent)
        remote, started = Remote(sshd.url(tmp_path / "remote")), time.monotonic()
        with pytest.raises(UserError, match="does not answer; look at"):
            fetch(other, remote, action.key, lambda *keys: None)
        assert time.monotonic() - started < LIMIT
    assert list((other.layout.base / "work").glob("*")) == []


@pytest.mark.parametrize("verb", ["push", "fetch"])
def test_ctrl_c_ends_a_wait_at_once(
    store: Store, publish: Publish, sshd: Any, sessions: Sessions, tmp_path: Path, verb: str
) -> None:
    action = publish({"model": os.urandom(1 << 20) * 200}, stage="data")
    command = [*COMMAND, verb, "--remote", sshd.url(tmp_path / "remote")]
    if verb == "fetch":
        push(store, Remote(str(tmp_path / "remote")), [action])
        command += ["--all", f"store.root={tmp_path / 'other'}"]
    else:
        command += [f"store.root={store.root}"]
    waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    place = tmp_path / ("remote" if verb == "push" else "other") / "store/v1/work"
    assert eventually(lambda: any(path.is_file() for path in place.rglob("*")))
    sessions.stop()
    time.sleep(1)
    assert waiting.poll() is None, "it was over before the server stopped"
    asked = time.monotonic()
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=50)
    assert time.monotonic() - asked < 5
    assert (waiting.returncode, said.count("\n")) == (75, 1), said
    assert "stopped" in said
    sessions.end()
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_a_silent_server_is_waited_for_once() -> None:
    """Not again for each answer that paramiko wants as it tidies up."""
    from unidet.store.ssh import _Patient

    waits: list[str] = []

    class Silent:
        def recv(self, count: int) -> bytes:
            waits.append("recv")
            raise TimeoutError

        def send(self, data: bytes) -> int:
            waits.append("send")
            return len(data)

    channel = _Patient(Silent())
    assert channel.send(b"asked") == 5
    for call, argument in ((channel.recv, 4), (channel.recv, 4), (channel.send, b"close")):
        with pytest.raises(TimeoutError):
            call(argument)
    assert waits == ["send", "recv"]
