"""Labels made to harm: each is refused in one line, within a bounded time and memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.errors import UserError
from unidet.formats.labels import whole_files
from unidet.formats.labels.recognize import recognize
from unidet.formats.labels.records import text_in
from unidet.formats.labels.voc import root_of
from unidet.formats.labels.yolo_settings import yaml_of

TWICE = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(60))
"""A list that holds another one twice, which holds a third one twice, …"""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (TWICE + "names: *a60\n", "its aliases repeat what they stand for"),
        ("names: " + "[" * 5000 + "]" * 5000, "nested more than 100 deep"),
        ("names: &a [*a]", "recursive"),
        ("names: {0: cat, 0: dog}", "'0' stands twice"),
        ("names: [cat]\nnc: 1\nnames: [dog]", "line 3, column 1: 'names' stands twice"),
    ],
)
def test_yaml(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "data.yaml").write_text(content)
    with pytest.raises(UserError, match=f"data.yaml: malformed YAML at .*{says}"):
        yaml_of(tmp_path / "data.yaml")


def test_aliases_that_programs_write_are_read(tmp_path: Path) -> None:
    """yaml.dump writes one where two values are the same list."""
    (tmp_path / "data.yaml").write_text("train: &id001 [a, b]\nval: *id001\nnc: 1\n")
    assert yaml_of(tmp_path / "data.yaml") == {"train": ["a", "b"], "val": ["a", "b"], "nc": "1"}


@pytest.mark.parametrize("name", ["data.yaml", "a.xml", "a.json", "a.csv"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_a_pipe_or_a_device_among_labels(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / name)
    with pytest.raises((UserError, OSError), match="is no file, but a pipe, a socket or a device"):
        recognize(tmp_path)
    with pytest.raises(UserError, match=r"cannot be read \(is no file, but a pipe"):
        text_in(tmp_path / name)


def test_a_text_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_files, "MOST_BYTES", 4)
    (tmp_path / "a.txt").write_text("1234")
    assert text_in(tmp_path / "a.txt") == "1234"
    (tmp_path / "a.txt").write_text("12345")
    with pytest.raises(UserError, match=r"a\.txt: cannot be read \(more than 4 bytes\)"):
        text_in(tmp_path / "a.txt")


def test_xml_in_an_encoding_that_nothing_can_be_in(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<?xml version='1.0' encoding='undefined'?><annotation/>")
    with pytest.raises(UserError, match="must be text in the encoding it declares"):
        root_of(tmp_path / "a.xml")
