"""Servers that answer as no server should, and what has come altered on the disk."""

from __future__ import annotations

import itertools
import re
import shutil
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from loopback import Served

from unidet.download import fetch as module
from unidet.download.fetch import Expected, fetch, name_of, shown
from unidet.download.partial import Partial, Version
from unidet.errors import UserError

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)
Answer = Callable[[int], bytes]
"""All that the server sends to a request that begins at this byte; -1: at none."""


def answer(status: str, body: bytes = b"", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{key.replace('_', '-')}: {headers[key]}" for key in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def whole(body: bytes = CONTENT, tag: str = '"x"') -> bytes:
    return answer("200 OK", body, ETag=tag, Content_Length=SIZE)


def rest(start: int, end: int = SIZE, total: int = SIZE, tag: str = '"x"') -> bytes:
    span = f"bytes {start}-{end - 1}/{total}"
    body = CONTENT[start:end]
    return answer("206 Part", body, ETag=tag, Content_Range=span, Content_Length=len(body))


@contextmanager
def answering(answers: Answer) -> Iterator[tuple[str, list[int]]]:
    """The address of a server, and at which bytes it was asked to begin."""
    asked: list[int] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = itertools.takewhile(lambda line: line.strip(), self.rfile)
            found = re.search(rb"bytes=(\d+)-", b"".join(lines))
            asked.append(int(found[1]) if found else -1)
            if len(asked) < 50:
                self.wfile.write(answers(asked[-1]))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        poll = {"poll_interval": 0.01}
        threading.Thread(target=server.serve_forever, kwargs=poll, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/a.bin", asked
        server.shutdown()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0)


def fetched(answers: Answer, folder: Path) -> bytes | str:
    """The file, or what is said of the server."""
    with answering(answers) as (address, asked):
        try:
            digest = fetch(address, folder / "a.bin", Expected())
        except UserError as fault:
            return str(fault)
        finally:
            assert len(asked) < 20
    assert [file.name for file in folder.iterdir()] == ["a.bin"]
    content = (folder / "a.bin").read_bytes()
    assert digest == sha256(content).hexdigest()
    return content


@pytest.mark.parametrize(
    "answers",
    [
        lambda start: rest(max(start, 0), max(start, 0) + 3000),
        lambda start: rest(start, min(start + 3000, SIZE)) if start >= 0 else whole(CONTENT[:99]),
        lambda start: whole(CONTENT + b"more"),
        lambda start: answer("200 OK", CONTENT, Content_Length="9" * 5000),
    ],
)
def test_whatever_pieces_come_the_file_is_whole(tmp_path: Path, answers: Answer) -> None:
    assert fetched(answers, tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (lambda start: rest(5) if start >= 0 else whole(CONTENT[:99]), "another range"),
        (lambda start: answer("206 Part", Content_Range=f"bytes {'9' * 5000}-1/2"), "another rang"),
        (lambda start: answer("206 Part", CONTENT, Content_Range="bytes 0-9/*"), "another range"),
        (lambda start: answer("204 No Content"), "status 204"),
        (
            lambda start: rest(start, tag='"y"') if start >= 0 else whole(CONTENT[:99]),
            "the file has changed at the server; 0 bytes are kept",
        ),
        (
            lambda start: rest(start, total=SIZE + 7) if start >= 0 else whole(CONTENT[:99]),
            "the file has changed at the server; 0 bytes are kept",
        ),
        (lambda start: answer("302 Found", Location="http://[::1/x"), "is not valid; correct it"),
        (lambda start: answer("302 Found", Location="/a.bin", Content_Length=0), "302"),
        (lambda start: answer("302 Found", Location="file:///etc/passwd"), "302"),
    ],
)
def test_what_is_not_the_file_is_one_line(tmp_path: Path, answers: Answer, says: str) -> None:
    said = str(fetched(answers, tmp_path))
    assert says in said
    assert "\n" not in said
    assert not (tmp_path / "a.bin").exists()


def test_a_server_that_always_begins_anew_is_given_up(tmp_path: Path) -> None:
    lengths = itertools.cycle([100, 50])
    said = fetched(
        lambda start: answer("200 OK", CONTENT[: next(lengths)], Content_Length=SIZE), tmp_path
    )
    assert "the server stopped after" in str(said)
    said = fetched(lambda start: whole(CONTENT[:50]) if start < 0 else answer("416 No"), tmp_path)
    assert "bytes are kept" in str(said)


@pytest.mark.parametrize("damage", ["flipped", "zeros", "longer", "shorter", "no note", "bad note"])
def test_of_what_has_come_only_what_is_unaltered_counts(
    served: Served, tmp_path: Path, damage: str
) -> None:
    served.files["/a.bin"] = CONTENT
    served.breaks["/a.bin"] = [1000, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match="1000 bytes are kept"):
        fetch(f"{served.address}/a.bin", tmp_path / "a.bin", Expected())
    part, note = tmp_path / "a.bin.part", tmp_path / "a.bin.part.note"
    came = {
        "flipped": CONTENT[:500] + b"!" + CONTENT[501:1000],
        "zeros": CONTENT[:500] + bytes(500),
        "longer": CONTENT[:1000] + b"more",
        "shorter": CONTENT[:999],
    }
    part.write_bytes(came.get(damage, CONTENT[:1000]))
    if damage == "no note":
        note.unlink()
    elif damage == "bad note":
        note.write_bytes(note.read_bytes().replace(b"1000", b"1001"))
    served.breaks.clear()
    fetch(f"{served.address}/a.bin", tmp_path / "a.bin", Expected())
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert served.asked[-1][1] == ("bytes=1000-" if damage == "longer" else "")


def test_what_a_killed_process_has_noted_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unidet.download.partial.NOTED_BYTES", 100)
    killed = Partial(tmp_path / "a.part")
    killed.version = Version('"x"', 500)
    for _ in range(3):
        killed.write(b"a" * 60)  # noted after two of them
    left = shutil.copytree(tmp_path, tmp_path.with_name("left"))
    killed.close()
    again = Partial(left / "a.part")
    again.close()
    assert (again.bytes, again.version) == (120, Version('"x"', 500))
    assert (left / "a.part").read_bytes() == b"a" * 120


def test_an_address_is_shown_without_what_only_its_owner_may_know() -> None:
    address = "https://me:secret@host/files/a.zip?token=secret&x=secret#secret"
    assert shown(address) == "https://***@host/files/a.zip"
    assert name_of(address) == "a.zip"
