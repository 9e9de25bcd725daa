"""The scanner reads what Python's decoder reads, to the bit, and gives up at anything odd."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.formats import json_window, scanner
from unidet.formats.columns import BOX, FLAG, NUMBER, TEXT, WHOLE
from unidet.formats.json_text import record_batches
from unidet.formats.json_window import Scanned
from unidet.formats.results import FIELDS
from unidet.formats.table import Table
from unidet.formats.tables import FIELDS as TABLES

RECORD = '{"image_id": 7, "category_id": 3, "bbox": [1, 2.5, 3e1, 4], "score": 0.25}'


def having(member: str) -> str:
    """The record with one member more."""
    return f"{RECORD[:-1]}, {member}}}"


@pytest.fixture(autouse=True)
def of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "WORTHWHILE", 1)


def scanned(text: str, fields: Any = FIELDS) -> Scanned | None:
    scan = scanner.scan_of(fields)
    assert scan is not None
    return scan(text)


def numbers(values: list[str]) -> np.ndarray | None:
    scan = scanned(",".join(f'{{"x":{value}}}' for value in values), {"x": NUMBER})
    return None if scan is None else scan.columns["x"]


def test_a_record() -> None:
    read = scanned(f" {RECORD}\n,{RECORD}] , 5")
    assert read is not None
    assert (read.count, read.length) == (2, 2 * len(RECORD) + 3)
    assert {name: column.tolist() for name, column in read.columns.items()} == {
        "image_id": [7, 7],
        "category_id": [3, 3],
        "bbox": [[1.0, 2.5, 30.0, 4.0]] * 2,
        "score": [0.25, 0.25],
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 1, "mask": {"counts": "a\\"}, {\\u00e9\\n", "size": [4, [], {}, -0.5e-3]}}',
        '{"score": 1, "a": [true, false, null, [[1, 2], []]], "b": "", "": {}}',
        '{ "score"\t:\r1 ,\n"other":"[{}]" }',
    ],
)
def test_other_fields_are_passed_over(text: str) -> None:
    read = scanned(f"{text},{text}")
    assert read is not None
    assert {name: column.tolist() for name, column in read.columns.items()} == {"score": [1, 1]}


def test_keys_in_another_order() -> None:
    read = scanned('{"id": 1, "score": 2, "z": 3}, {"z": 3, "id": 4, "score": 5}')
    assert read is not None
    assert read.columns["id"].tolist() == [1, 4]
    assert read.columns["score"].tolist() == [2, 5]


def test_flags_in_all_spellings() -> None:
    fields = TABLES["annotations"]
    read = scanned('{"iscrowd": 0, "Is_Ignored": true}, {"iscrowd": null, "Is_Ignored": 1}', fields)
    assert read is not None
    assert {name: column.tolist() for name, column in read.columns.items()} == {
        "iscrowd": [0, 4],
        "Is_Ignored": [1, 1],
    }


def test_numbers_are_those_of_python() -> None:
    """Short and long decimals, the bits of any double, and halfway between two of them."""
    rng = random.Random(0)
    texts = ["0", "-0", "-0.0", "0.1e1", "1E+2", "5e-324", "2.2250738585072011e-308", "1e-400"]
    texts += [
        "9007199254740993",
        "9007199254740993.0",
        "0.000000000000000001",
        "123456789012345678",
    ]
    for _ in range(2000):
        bits = rng.getrandbits(64)
        (value,) = struct.unpack("d", struct.pack("Q", bits))
        texts += [repr(value)] * (abs(value) < 2**63)
        texts.append(repr(rng.uniform(0, 1000)))
        texts.append(f"{rng.uniform(0, 1000):.{rng.randrange(1, 25)}f}")
        texts.append(f"{rng.uniform(-9, 9):.{rng.randrange(18)}e}")
        texts.append(str(rng.randrange(-(10**18) + 1, 10**18)))
        texts.append(f"{(2**53 + 2 * rng.randrange(2**51) + 1)}.{rng.choice('05')}")
    texts = [text for text in texts if numbers([text]) is not None]
    # In a process of its own: after a kernel of Jittor's, Python reads denormal numbers as zero.
    program = (
        "import array, json, sys; sys.stdout.buffer.write(array.array('d', json.load(sys.stdin)))"
    )
    command, written = [sys.executable, "-c", program], f"[{','.join(texts)}]".encode()
    expected = subprocess.run(command, input=written, stdout=subprocess.PIPE, check=True).stdout
    column = numbers(texts)
    assert column is not None
    assert len(texts) > 11000
    assert column.tobytes() == expected


ODD_NUMBERS = [
    *("01", "-", "+1", ".5", "1.", "1.e3", "1e", "1e+", "0x1", "1_0", "1 2", "--1", "1e5.0"),
    *("NaN", "Infinity", "-Infinity", "1e999", "9223372036854775808", "1" * 400, "true", "null"),
    *('"1"', "[1]", "{}", ""),
]


@pytest.mark.parametrize("value", ODD_NUMBERS)
def test_no_number(value: str) -> None:
    assert numbers(["1", value]) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "1", "null", "{", RECORD[:-1], f"{RECORD},", f"{RECORD} {RECORD}"),
        f"{RECORD}, 5",
        f"{RECORD}, {{}}",
        RECORD.replace("7", "7.0"),
        RECORD.replace("7", "1234567890123456789"),
        RECORD.replace("[1, ", "["),
        RECORD.replace("[1, ", "[1, 1, "),
        RECORD.replace("3e1", "-3e1"),
        RECORD.replace("image_id", "image\\u005fid"),
        having('"score": 1'),
        f"{RECORD}, " + having('"score": 1'),
        f"{RECORD}, " + having('"more": 1'),
        f"{RECORD}, {RECORD.replace('score', 'image_id')}",
        f'{RECORD}, {{"image_id": 7}}',
        having('"name": "é"'),
        having('"name": "\n"'),
        having('"name": "\\x"'),
        having('"name": "\\u12g4"'),
        having('"name": "\0"'),
        having('"name": [1,]'),
        having('"name": [NaN]'),
        having(f'"name": {101 * "["}{101 * "]"}'),
        having(f'"name": {301 * "1"}'),
        "{" + ", ".join(f'"{key}": 1' for key in range(65)) + "}",
    ],
)
def test_what_is_odd_is_left_to_others(text: str) -> None:
    assert scanned(text) is None


def test_it_never_reads_beyond_its_text() -> None:
    """Cut anywhere, a record is none."""
    record = having('"name": "a\\u00e9\\n", "more": [true, {"a": null}]')
    assert scanned(record) is not None
    assert [end for end in range(len(record)) if scanned(record[:end])] == []


def test_fields_that_are_no_numbers_are_not_for_it() -> None:
    assert scanner.scan_of({"id": WHOLE, "name": TEXT}) is None
    assert scanner.scan_of({"id": WHOLE, "box": BOX, "score": NUMBER, "flag": FLAG}) is not None


def test_it_reads_where_it_is_worthwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of several batches, one of them with a text for a number."""
    monkeypatch.setattr(json_window, "PIECE", 400)
    path = tmp_path / "results.json"
    records = [json.loads(RECORD) | {"id": row, "image_id": row} for row in range(40)]
    records[20]["category_id"] = "3"
    path.write_text(json.dumps(records))
    batches = [*record_batches(path, scan=scanner.scan_of(FIELDS))]
    kinds = [batch.scanned is not None for batch in batches]
    assert kinds.count(True) > 3
    assert False in kinds
    table = Table.of(path, "detections", batches, FIELDS)
    assert table.columns["id"].values.tolist() == [*range(40)]
    assert table.columns["category_id"].written == {20: "3"}


def test_without_a_compiler_it_leaves_all_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner._library.cache_clear()
    for variable, value in {"cc_path": "no-such-compiler", "UNIDET_CACHE": str(tmp_path)}.items():
        monkeypatch.setenv(variable, value)
    assert scanned(RECORD) is None
    monkeypatch.undo()
    scanner._library.cache_clear()
