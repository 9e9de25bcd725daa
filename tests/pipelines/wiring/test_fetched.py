"""What is noted beside files that were fetched."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from loopback import Served, serving

from unidet.download.fetch import Expected
from unidet.errors import UserError
from unidet.pipelines.wiring.fetched import add_file

DIGEST = sha256(b"content").hexdigest()


def fetched(served: Served, folder: Path) -> Path:
    served.files["/a.csv?token=mine"] = b"content"
    target = folder / "a.csv"
    add_file(f"{served.address}/a.csv?token=mine", target, Expected())
    return target


def test_a_query_is_asked_and_not_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as served:
        assert fetched(served, tmp_path).read_bytes() == b"content"
        assert served.asked == [("/a.csv?token=mine", "")]
    assert "token" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("noted", [b"", b"\xff\xfe", b"\n", DIGEST[:20].encode()])
def test_a_damaged_note_is_none(tmp_path: Path, noted: bytes) -> None:
    (tmp_path / "a.csv.sha256").write_bytes(noted)
    with serving() as served:
        fetched(served, tmp_path)
    assert (tmp_path / "a.csv.sha256").read_text() == f"{DIGEST}  a.csv\n"


def test_another_content_than_noted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.sha256").write_text(f"{'0' * 64}  a.csv\n")
    with serving() as served, pytest.raises(UserError, match=r"delete .*a\.csv\.sha256 if"):
        fetched(served, tmp_path)
