"""Files from a server on the loopback."""

from __future__ import annotations

import errno
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from loopback import Served

from unidet.download import fetch as module
from unidet.download.fetch import Expected, Missing, fetch
from unidet.errors import UserError

CONTENT = bytes(range(256)) * 40
DIGEST = sha256(CONTENT).hexdigest()


def complaint(served: Served, target: Path, expected: Expected = Expected()) -> str:  # noqa: B008
    with pytest.raises(UserError) as fault:
        fetch(f"{served.address}/a.zip", target, expected)
    assert "\n" not in str(fault.value)
    assert not target.exists()
    return str(fault.value)


def test_a_file_arrives_whole_and_nothing_else_is_left(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT
    target = tmp_path / "new/a.zip"
    seen: list[tuple[int, int]] = []
    noted: list[tuple[str, bool]] = []
    digest = fetch(
        f"{served.address}/a.zip",
        target,
        Expected(len(CONTENT), DIGEST),
        lambda done, total: seen.append((done, total)),
        lambda digest: noted.append((digest, target.exists())),
    )
    assert (
        noted == [(digest, False)] == [(DIGEST, False)]
    )  # whatever happens, no file is without its note
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["a.zip"]
    assert (seen[0], seen[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))


def test_an_empty_file_arrives(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = b""
    fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected())
    assert (tmp_path / "a.zip").read_bytes() == b""


def test_what_has_come_is_not_fetched_again(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT
    served.breaks["/a.zip"] = [1000, 500]
    fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected())
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [asked for _, asked in served.asked] == ["", "bytes=1000-", "bytes=1500-"]


def test_the_next_call_goes_on(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT
    served.breaks["/a.zip"] = [1000, 0, 0, 0, 0, 0]
    assert "1000 bytes are kept" in complaint(served, tmp_path / "a.zip")
    served.breaks.clear()
    fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected())
    assert served.asked[-1] == ("/a.zip", "bytes=1000-")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_file_that_changed_at_the_server_is_fetched_anew(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT[::-1]
    served.breaks["/a.zip"] = [1000, 0, 0, 0, 0, 0]
    complaint(served, tmp_path / "a.zip")
    served.breaks.clear()
    served.files["/a.zip"] = CONTENT
    fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected())
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("setting", ["has_ranges", "has_versions"])
def test_a_server_that_cannot_resume_starts_anew(
    served: Served, tmp_path: Path, setting: str
) -> None:
    served.files["/a.zip"] = CONTENT
    setattr(served, setting, False)
    served.breaks["/a.zip"] = [1000]
    fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected())
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_with_a_known_sha256_a_server_without_versions_resumes(
    served: Served, tmp_path: Path
) -> None:
    served.files["/a.zip"] = CONTENT
    served.has_versions = False
    served.breaks["/a.zip"] = [1000]
    fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected(sha256=DIGEST))
    assert served.asked[-1] == ("/a.zip", "bytes=1000-")


def test_a_file_that_became_shorter_is_fetched_anew(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT
    served.has_versions = False
    served.files["/a.zip"] = CONTENT * 2
    served.breaks["/a.zip"] = [len(CONTENT) + 1, 0, 0, 0, 0, 0]
    complaint(served, tmp_path / "a.zip", Expected(sha256=DIGEST))
    served.breaks.clear()
    served.files["/a.zip"] = CONTENT
    fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected(sha256=DIGEST))
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_wrong_sha256_is_said_and_does_not_stay(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT
    said = complaint(served, tmp_path / "a.zip", Expected(sha256="0" * 64))
    assert f"sha256 {DIGEST}, not {'0' * 64} and was removed" in said
    assert [*tmp_path.iterdir()] == []


def test_another_size_is_said_before_anything_is_fetched(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT
    said = complaint(served, tmp_path / "a.zip", Expected(bytes=9))
    assert f"has {len(CONTENT)} bytes at the server, 9 are expected" in said
    assert [*tmp_path.iterdir()] == []


def test_a_missing_file_is_said_at_once(served: Served, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="the server says 404 Not Found; has the file moved"):
        fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected())
    assert len(served.asked) == 1


def test_a_login_is_said_at_once(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT
    served.refuses["/a.zip"] = 403
    assert "403 Forbidden; is this file available" in complaint(served, tmp_path / "a.zip")
    assert len(served.asked) == 1


def test_a_busy_server_is_asked_again_and_then_named(served: Served, tmp_path: Path) -> None:
    served.files["/a.zip"] = CONTENT
    served.refuses["/a.zip"] = 503
    assert "503" in complaint(served, tmp_path / "a.zip")
    assert len(served.asked) == module.ATTEMPTS


def test_no_server_is_one_line(served: Served, tmp_path: Path) -> None:
    served.address = "http://127.0.0.1:9"
    said = complaint(served, tmp_path / "a.zip")
    assert "cannot be reached" in said
    assert "continues from there" in said


def test_too_little_room_is_said_before_anything_is_fetched(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.files["/a.zip"] = CONTENT
    disk = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    assert f"{len(CONTENT)} bytes are needed, but only 100 are free" in complaint(
        served, tmp_path / "a.zip"
    )


def test_a_disk_that_fills_up_keeps_what_has_come(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.files["/a.zip"] = CONTENT
    copy = module._copy

    def fails(answer: Any, partial: Any, *rest: Any) -> None:
        partial.write(CONTENT[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_copy", fails)
    assert "a.zip.part: cannot be written (the disk is full)" in complaint(
        served, tmp_path / "a.zip"
    )
    monkeypatch.setattr(module, "_copy", copy)
    fetch(f"{served.address}/a.zip", tmp_path / "a.zip", Expected())
    assert served.asked[-1] == ("/a.zip", "bytes=1000-")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
