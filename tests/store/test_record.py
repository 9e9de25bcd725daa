"""Records are read from stores that others wrote: what they say is checked before it is used."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unidet.store.record import (
    Action,
    LaterFormat,
    StoredFile,
    digest_files,
    from_bytes,
    to_bytes,
    with_checksum,
)

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def record(**changes: Any) -> Action:
    files = {"a/hello.txt": StoredFile(HELLO, 5)}
    values: dict[str, Any] = {
        "key": "0" * 64,
        "preimage": {"stage": "rpn", "config": {"steps": [8, 11]}},
        "stage": "rpn",
        "files": files,
        "output": digest_files(files),
        "inputs": {"data": "1" * 64},
        "modules": {},
        "host": "node7",
        "pid": 42,
        "command": "unidet stage=rpn",
        "started": "2024-05-01T10:00:00.000000+00:00",
        "finished": "2024-05-01T11:00:00.000000+00:00",
        "seconds": 3600.0,
        "peak_rss": 1 << 30,
        "git": {"commit": "f" * 40, "dirty": False},
        "freeze": {"numpy": "1.26.4"},
    }
    return Action(**{**values, **changes})


def test_a_record_is_the_same_after_writing_and_reading() -> None:
    assert from_bytes(to_bytes(record())) == record()
    assert from_bytes(to_bytes(record(git=None))) == record(git=None)


def test_fields_of_later_versions_are_left_out() -> None:
    values = json.loads(to_bytes(record()))
    assert from_bytes(with_checksum({**values, "accepted": "later"})) == record()


def test_a_record_of_the_first_format_has_no_checksum_and_is_read() -> None:
    values = json.loads(to_bytes(record())) | {"format": 1}
    del values["checksum"]
    assert from_bytes(json.dumps(values).encode()) == record()


def test_every_flipped_bit_is_found() -> None:
    data = to_bytes(record(command="say 'checksum'", preimage={"stage": "rpn", "checksum": "0"}))
    for place in range(8 * len(data)):
        altered = bytearray(data)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError):  # noqa: PT011
            from_bytes(bytes(altered))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a/.", "a\\b", "a\nb", "a\x00"]
)
def test_a_record_names_nothing_outside_its_artefact(name: str) -> None:
    files = {name: StoredFile(HELLO, 5)}
    with pytest.raises(ValueError, match="is not a file name inside an artefact"):
        from_bytes(to_bytes(record(files=files, output=digest_files(files))))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": "../../x"}, "is not a sha256 digest"),
        ({"stage": "../x"}, "is not a stage name"),
        ({"output": "2" * 64}, "do not give its output digest"),
        ({"files": {"a": StoredFile("../../x", 5)}}, "is not a sha256 digest"),
        ({"files": {"a": StoredFile(HELLO, -5)}}, "-5 is not a size"),
        ({"files": {"a": StoredFile(HELLO, 10**400)}}, "1000.* is not a size"),
        ({"seconds": 10**400}, "seconds: 1000.* is not a time"),
        ({"seconds": float("nan")}, "seconds: nan is not a time"),
        ({"pid": 10**400}, "pid: 1000.* is out of range"),
        ({"stage": "a" * 65}, "is not a stage name"),
        ({"stage": 3}, "not an action record: TypeError"),
        ({"preimage": {"stage": "rpn", "config": [1]}}, "preimage: config has the wrong type"),
        (
            {"preimage": {"inputs": {"a": None}}},
            "preimage: inputs contains a value that is not text",
        ),
        ({"preimage": {"files": {"a": {}}}}, "preimage: files contains a value that is not text"),
        ({"preimage": {"code": 3}}, "preimage: code is not text"),
        ({"files": {"a": StoredFile(HELLO, 5.0)}}, "5.0 is not a size"),  # type: ignore[arg-type]
    ],
)
def test_a_record_that_is_not_right_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_bytes(to_bytes(record(**changes)))


def test_a_record_of_another_format_is_refused() -> None:
    values = json.loads(to_bytes(record()))
    with pytest.raises(ValueError, match="format 1 or 2"):
        from_bytes(with_checksum({**values, "format": 0}))
    with pytest.raises(LaterFormat, match="of format 3, from a later version; update unidet"):
        from_bytes(with_checksum({**values, "format": 3}))
    with pytest.raises(ValueError, match="it was altered"):
        from_bytes(to_bytes(record()).replace(b'"format": 2', b'"format": 3'))
    del values["seconds"]
    with pytest.raises(ValueError, match="without seconds"):
        from_bytes(with_checksum(values))


def of(*files: tuple[str, int]) -> dict[str, Any]:
    stored = {name: StoredFile(HELLO, size) for name, size in files}
    return {"files": stored, "output": digest_files(stored)}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((("a", 5), ("b", 6)), "gives the same content two sizes"),
        ((("a", 5), ("a/b", 5)), "'a' is a file and a folder"),
        ((("c/a", 5), ("c/a/b/d", 5)), "'c/a' is a file and a folder"),
        ((("a", 5), ("A", 5)), "'A' and 'a' are the same name on some disks"),
        ((("c/a", 5), ("C/b", 5)), "'C' and 'c' are the same name on some disks"),
        ((("\u00e9", 5), ("e\u0301", 5)), "are the same name on some disks"),
        ((("a" * 256, 5),), "is too long for a file name"),
        ((("é" * 128, 5),), "is too long for a file name"),
        ((("abcdefg/" * 128 + "a", 5),), "is too long for a file name"),
    ],
)
def test_files_that_no_disk_can_hold_are_refused(
    files: tuple[tuple[str, int], ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        from_bytes(to_bytes(record(**of(*files))))


def test_the_longest_names_that_a_disk_can_hold() -> None:
    long = record(**of(("a" * 255, 5), ("é" * 127, 5), ("a/b", 5), ("a/c", 5)))
    assert from_bytes(to_bytes(long)) == long


@pytest.mark.parametrize("depth", [40, 500, 100_000])
def test_what_is_nested_too_deeply_is_refused(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    with pytest.raises(ValueError, match="nested too deeply"):
        from_bytes(f'{{"format": 1, "preimage": {nested}}}'.encode())


def test_a_number_of_many_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="digits"):
        from_bytes(b'{"format": ' + b"1" * 5000 + b"}")


def test_passwords_of_older_records_are_not_shown() -> None:
    old = record(command="unidet stage=rpn remote=sftp://me:secret@cluster/data")
    shown = from_bytes(to_bytes(old)).command
    assert shown == "unidet stage=rpn 'remote=sftp://me:***@cluster/data'"


def test_a_number_of_too_many_digits_is_named_without_advice_for_programmers() -> None:
    with pytest.raises(ValueError, match=r"^a number of thousands of digits$"):
        from_bytes(b'{"pid": ' + b"9" * 5000 + b"}")
