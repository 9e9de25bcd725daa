"""Records are read from stores that others wrote: what they say is checked before it is used."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unidet.store.record import Action, StoredFile, digest_files, from_bytes, to_bytes

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
    assert from_bytes(json.dumps({**values, "accepted": "later"}).encode()) == record()


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
        ({"files": {"a": StoredFile(HELLO, 5.0)}}, "5.0 is not a size"),  # type: ignore[arg-type]
    ],
)
def test_a_record_that_is_not_right_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_bytes(to_bytes(record(**changes)))


def test_a_record_of_another_format_is_refused() -> None:
    values = json.loads(to_bytes(record()))
    with pytest.raises(ValueError, match="format 1"):
        from_bytes(json.dumps({**values, "format": 2}).encode())
    del values["seconds"]
    with pytest.raises(ValueError, match="without seconds"):
        from_bytes(json.dumps(values).encode())
