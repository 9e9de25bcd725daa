"""Remotes in S3: moto's server, and a line to it on which uploads fall silent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, eventually

from unidet.errors import UserError
from unidet.store.record import Action
from unidet.store.remote import Refused, Remote
from unidet.store.store import Store
from unidet.store.transfer import fetch, fetch_all, push
from unidet.store.verify import verify

s3fs: Any = pytest.importorskip("s3fs", reason="pip install '.[s3]'")
pytest.importorskip("moto", reason="pip install 'moto[s3]' flask flask-cors")
Publish = Callable[..., Action]
FILES = {"model": b"weights" * 1000, "logs/log.csv": b"step,loss\n", "empty": b""}
URL = "s3://bucket/studies"
PATIENCE = 0.5
LIMIT = 15.0  # seconds; far below what waits without an end of ours


def no_use(*keys: str) -> None:
    """Nobody cleans up here."""


def answers(address: str) -> bool:
    with suppress(OSError):
        return bool(urllib.request.urlopen(address, timeout=1).status == 200)
    return False


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    """The port of a server that all tests of this file share."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: answers(f"http://127.0.0.1:{port}/moto-api/"))
            yield port
        finally:
            process.terminate()


@pytest.fixture
def s3(moto: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is at a server with one empty bucket, `bucket`."""
    address = f"http://127.0.0.1:{moto}"
    reset = urllib.request.Request(f"{address}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=10).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    system = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    system.mkdir("bucket")
    return system


def test_what_was_pushed_arrives_elsewhere(
    s3: Any, store: Store, publish: Publish, tmp_path: Path
) -> None:
    action, other = publish(FILES), Store(tmp_path / "other")
    assert push(store, Remote(URL), [action]).sent == [action.key]
    assert push(store, Remote(URL), [action]).sent == []
    assert fetch(other, Remote(URL), action.key, no_use) == action
    found = {name: (other.folder(action) / name).read_bytes() for name in FILES}
    assert found == FILES
    assert verify(other).problems == ()


def test_a_forged_blob_is_refused(s3: Any, store: Store, publish: Publish, tmp_path: Path) -> None:
    action, other = publish(FILES), Store(tmp_path / "other")
    push(store, Remote(URL), [action])
    blob = store.layout.blob(action.files["model"].sha256).relative_to(store.root)
    s3.pipe_file(f"bucket/studies/{blob}", b"forgery" * 1000)
    with pytest.raises(Refused, match="its content does not have this hash"):
        fetch(other, Remote(URL), action.key, no_use)
    assert list((other.layout.base / "work").iterdir()) == []


def test_a_bucket_that_does_not_exist_is_not_made(s3: Any, store: Store, publish: Publish) -> None:
    with pytest.raises(UserError, match="remote s3://buckt/studies: "):
        push(store, Remote("s3://buckt/studies"), [publish(FILES)])
    assert s3.ls("") == ["bucket"]


def test_a_store_that_may_not_be_seen_is_named(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError("Forbidden")

    remote = Remote(URL)
    monkeypatch.setattr(remote._system, "info", refuse)
    says = r"refused bucket/studies/store/v1: cannot be read \(Forbidden; are the credentials right"
    with pytest.raises(UserError, match=says):
        remote.is_store()


class Line:
    """A line to a server that goes on after the head of the first PUT, but takes no content.

    `takes_all` reads the content too, and then does not answer.
    """

    def __init__(self, port: int, takes_all: bool = False) -> None:
        self._server = ("127.0.0.1", port)
        self._takes_all = takes_all
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = int(self._door.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # the door is closed
            while True:
                here, there = self._door.accept()[0], socket.create_connection(self._server)
                self._open += [here, there]
                for way in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=way, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(2048):
                if piece.startswith(b"PUT "):
                    while self._takes_all and source.recv(65536):
                        pass
                    return
                target.sendall(piece)

    def close(self) -> None:
        for one in (self._door, *self._open):
            one.close()


@pytest.mark.parametrize("takes_all", [False, True], ids=["takes nothing", "does not answer"])
@pytest.mark.parametrize("size", [100, 8 << 20])  # the second is more than a connection buffers
def test_an_upload_that_falls_silent_is_given_up(
    s3: Any,
    moto: int,
    store: Store,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    takes_all: bool,
    size: int,
) -> None:
    action = publish({"model": bytes(size)})
    line = Line(moto, takes_all)
    monkeypatch.setattr("unidet.store.s3.PATIENCE", PATIENCE)
    with monkeypatch.context() as silent:
        silent.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
        started = time.monotonic()
        with pytest.raises(UserError, match=f"remote {URL}: does not answer; look at"):
            push(store, Remote(URL), [action])
        assert time.monotonic() - started < LIMIT
    line.close()
    assert push(store, Remote(URL), [action]).sent == [action.key]


class Download(Line):
    """A line that hands on 60 kB of answers, and then falls silent, or `ends`."""

    def __init__(self, port: int, ends: bool) -> None:
        self._ends = ends
        super().__init__(port)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        left = 60_000
        with suppress(OSError):
            while (piece := source.recv(2048)) and left > 0:
                target.sendall(piece)
                left -= len(piece)
            if self._ends:
                target.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        (False, "does not answer; look at"),
        (True, r"the connection was lost \(.+\); run this again"),
    ],
    ids=["falls silent", "ends"],
)
def test_a_download_that_stops_in_the_middle(
    s3: Any,
    moto: int,
    store: Store,
    publish: Publish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ends: bool,
    says: str,
) -> None:
    """s3fs itself fails as it looks into a timeout, and aiohttp speaks of a payload."""
    action, other = publish({"model": bytes(200_000)}), Store(tmp_path / "other")
    push(store, Remote(URL), [action])
    line = Download(moto, ends)
    monkeypatch.setattr("unidet.store.s3.PATIENCE", PATIENCE)
    with monkeypatch.context() as cut:
        cut.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
        with pytest.raises(UserError, match=f"remote {URL}: {says}"):
            fetch(other, Remote(URL), action.key, no_use)
    line.close()
    assert fetch(other, Remote(URL), action.key, no_use) == action


class Altering(Line):
    """A line that alters content."""

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(2048):
                target.sendall(piece.replace(b"weights", b"Weights"))


def test_content_that_is_not_what_s3_has_a_checksum_of(
    s3: Any,
    moto: int,
    store: Store,
    publish: Publish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """botocore would compare it, and end what is under way."""
    actions = [publish(FILES), publish({"model": b"other"}, seed=1)]
    push(store, Remote(URL), actions)
    line = Altering(moto)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
    moved = fetch_all(Store(tmp_path / "other"), Remote(URL), no_use)
    line.close()
    assert moved.sent == [actions[1].key]
    (text,) = moved.refused
    assert "its content does not have this hash" in text


class Endless(BaseHTTPRequestHandler):
    """A server whose lists of objects never end."""

    protocol_version = "HTTP/1.1"
    page = (
        b'<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated>'
        b"<NextContinuationToken>more</NextContinuationToken></ListBucketResult>"
    )

    def do_GET(self) -> None:
        type(self).asked.set()
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page)

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    asked = threading.Event()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def test_ctrl_c_ends_what_waits_for_the_server_without_tracebacks(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(FILES)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    command = [*COMMAND, "push", "--remote", URL, f"store.root={store.root}"]
    for _ in range(4):  # without an end of the requests, one in ten was quiet
        Endless.asked.clear()
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert Endless.asked.wait(30)
            time.sleep(0.3)
            os.kill(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=LIMIT)
        assert (process.returncode, said) == (
            75,
            "unidet: stopped; run the same command again\n",
        )
    server.shutdown()
    server.server_close()
