"""Records of large files, a few characters of text at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unidet.errors import UserError
from unidet.formats import json_stream
from unidet.formats.json_stream import list_records


@pytest.fixture(autouse=True, params=[1, 7, 1 << 22])
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_PIECE", request.param)


def records(folder: Path, text: str) -> list[tuple[str, Any]]:
    (folder / "x.json").write_text(text, encoding="utf-8")
    return [*list_records(folder / "x.json")]


def test_every_list_is_read_and_all_else_passed_over(tmp_path: Path) -> None:
    content = {
        "info": {"images": [1]},
        "images": [{"id": 1, "name": 'é]"}'}, {}, [1, 2], 12345, -1.5e3, None, True],
        "empty": [],
        "n": 7,
        "annotations": [{"bbox": [1, 2.5, 3, 4]}],
    }
    wanted = [("images", value) for value in content["images"]]  # type: ignore[attr-defined]
    wanted += [("annotations", {"bbox": [1, 2.5, 3, 4]})]
    for indent in (None, 1):
        assert records(tmp_path, json.dumps(content, indent=indent)) == wanted
    assert records(tmp_path, "\ufeff { } ") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"images": [1, 2',
        '{"images": [1 2]}',
        '{"images" [1]}',
        '{"images": [1]',
        '{"images": [{"id": }]}',
        '{"images": [' + "[" * 100_000,
    ],
)
def test_malformed_text_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"x\.json: malformed JSON at character \d+: ") as fault:
        records(tmp_path, text)
    assert "\n" not in str(fault.value)


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        [*list_records(tmp_path / "x.json")]
    (tmp_path / "x.json").write_bytes(b'{"images": ["\xff"]}')
    with pytest.raises(UserError, match="not a JSON text file in UTF-8"):
        [*list_records(tmp_path / "x.json")]
