"""JSON through a window: the same values and the same faults, wherever the window ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.formats import growing, json_window
from unidet.formats.annotations import read_annotations
from unidet.formats.json_text import members, read_document, record_batches, shown
from unidet.formats.tables import read_records, read_tables

PIECES = [1, 2, 3, 17, 64, 1 << 20]
ODD = {
    "info": {"year": 2024, "list": [1, [2, {"a": None}]]},
    "numbers": [12345, -1.5e-7, True, None, "a }, { b", [], {}],
    "empty": [],
    "nested": [{"a": [{"b": 1}, {"b": "x}, {y"}], "c": {"d": [{}]}}, {"a": '\\"}, {"'}],
    "large": [{"id": 2**64, "name": "é\U0001f600"}, {"id": -(2**70)}],
    "nothing": float("nan"),
}


@pytest.fixture(params=PIECES)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(json_window, "PIECE", request.param)
    return request.param


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_document_is_whole(piece: int, indent: int | None, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(ODD, indent=indent, ensure_ascii=False), encoding=encoding)
    assert repr(read_document(path)) == repr(ODD)


def test_a_list_is_whole_and_counted(piece: int, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    values = [{"id": row, "more": [{"x": [row]}]} for row in range(40)]
    path.write_text(json.dumps(values))
    batches = [*record_batches(path)]
    assert [value for batch in batches for value in batch.values] == values
    assert [batch.start for batch in batches] == [
        *np.cumsum([0, *(len(batch.values) for batch in batches)])[:-1]
    ]


def test_whole_numbers_beyond_64_bits_are_exact_where_it_matters(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_text(json.dumps([{"id": 2**64}, {"id": 1}]))
    (batch,) = record_batches(path)
    assert batch.exact()[0]["id"] == 2**64


def test_a_key_that_stands_twice_is_refused(piece: int, tmp_path: Path) -> None:
    """As where files were joined by hand: Python's decoder, and so others, keeps the last."""
    path = tmp_path / "twice.json"
    path.write_text('{"images": [{"id": 1}], "a": {"b": 1, "b": 2}, "images": [{"id": 2}]}')
    for read in (read_document, read_tables):
        with pytest.raises(UserError, match="'images' stands twice, and others read the last"):
            read(path)


def test_segmentations_are_left_out_however_deep(tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text('{"segmentation": [1], "a": [{"segmentation": 3, "b": {"segmentation": {}}}]}')
    assert read_document(path) == {"a": [{"b": {}}]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": [{"id": 1},\n {"id": 2,}]}', "line 2, column 11"),
        ('{"a": [{"id": 1},\n {"id": 2} 3]}', "line 2, column 12: Expecting ',' delimiter"),
        ('{"a": [{"id": 1},]}', "line 1, column 18: Expecting value"),
        ('{"a": [1, 2', "line 1, column 12: Expecting ',' delimiter"),
        ('{"a": 1, b: 2}', "line 1, column 10: Expecting property name"),
        ('{"a" 1}', "line 1, column 6: Expecting ':' delimiter"),
        ('\n\n{"a": "x\n"}', "line 3, column 9: Invalid control character at"),
        ('{"a": tru}', "line 1, column 7: Expecting value"),
        ('{"a": "x}', "line 1, column 7: Unterminated string"),
        ('{"a": 1}\n}', "line 2, column 1: Extra data"),
    ],
)
def test_a_fault_has_its_place_in_the_file(
    piece: int, text: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_document(path)
    assert str(caught.value).startswith(f"{path}: malformed JSON at {problem}")


def test_what_is_no_text_is_found_late(tmp_path: Path, piece: int) -> None:
    path = tmp_path / "late.json"
    path.write_bytes(json.dumps({"a": [{"id": row} for row in range(20)]}).encode() + b"\xff")
    with pytest.raises(UserError, match="not a JSON text file"):
        read_document(path)


def test_a_list_that_is_not_taken_is_passed_over(piece: int, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"a": [{"id": 1}] * 9, "b": 2}))
    assert [key for key, *_ in members(path)] == ["a", "b"]


# --- annotations through a window ----------------------------------------------------------------


@pytest.fixture
def in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every column lies in a file, and is worked on two rows at a time."""
    monkeypatch.setattr(growing, "IN_MEMORY", 0)
    monkeypatch.setattr(growing, "BLOCK", 2)


def test_columns_do_not_depend_on_where_they_lie(
    piece: int, document: dict[str, Any], write: Callable[..., Path], in_files: None
) -> None:
    document["annotations"][1]["is_crowd"] = "1"
    del document["annotations"][2]["area"]
    read = read_annotations(write(document))
    assert not read.boxes_xywh.flags.writeable
    assert read.boxes_xywh.tolist() == [[1, 2, 5, 5], [8, 1, 4, 4.5], [12, 3, 7, 6]]
    assert read.image_rows.tolist() == [1, 0, 0]
    assert read.is_crowd.tolist() == [False, True, False]
    assert read.boxes.numbers("area", default=-1.0).tolist() == [25, 18, -1]
    assert {remark: finding.first for remark, finding in read.notes.items()} == {
        "'is_crowd' written as text": "annotations[1] (id 2)",
        "'is_crowd' read as 'iscrowd'": "annotations[1] (id 2)",
    }


def test_records_that_are_taken_keep_their_names(
    document: dict[str, Any], write: Callable[..., Path], in_files: None
) -> None:
    document["annotations"][0] |= {"bbox": None, "id": 1.0}
    document["annotations"][2]["bbox"] = [1, 2]
    table = read_tables(write(document))["annotations"]
    assert table is not None
    left = table.take(np.array([1, 2]))
    with pytest.raises(UserError, match=r"annotations\[2\] \(id 3\): 'bbox' is \[1, 2\], must"):
        left.boxes()
    assert left.take(np.array([0])).boxes().tolist() == [[8, 1, 4, 4.5]]


def test_some_records_are_read_again(
    piece: int, document: dict[str, Any], write: Callable[..., Path]
) -> None:
    rows = {"annotations": np.array([0, 2]), "images": np.array([1])}
    kept = read_records(write(document), rows)
    assert list(kept) == list(document)
    assert kept["annotations"] == [document["annotations"][0], document["annotations"][2]]
    assert kept["images"] == [document["images"][1]]
    assert kept["categories"] == document["categories"]


def test_a_long_value_is_cut_with_a_mark() -> None:
    assert shown("a" * 58) == f"'{'a' * 58}'"
    assert shown("a" * 59) == f"'{'a' * 58}…"
