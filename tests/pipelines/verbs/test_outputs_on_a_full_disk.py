"""Every file that the command writes, on a disk that takes no byte more: one line, nothing left."""

from __future__ import annotations

import gc
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import exit_status, write_small_files
from disks import no_room
from PIL import Image
from studies import built

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.weights import write

Make = Callable[..., Config]
OUTPUTS = (
    *(f"plot log.csv --out out.{kind}" for kind in ("png", "svg", "pdf", "csv")),
    "evaluate truth.json results.json --style coco --out out.json",
    "interchange results.json out.pkl --annotations truth.json",
    "interchange results.json out.json --annotations truth.json",
    *(f"lineage proposals --picture out.{kind}" for kind in ("png", "svg", "pdf")),
    "data stats --images pictures --annotations truth.json --out out.png",
    "data convert --images pictures --annotations truth.json --to coco --out out",
    "data convert --images pictures --annotations truth.json --to yolo --out out",
    "export out proposals",
    "push --remote out",
)


@pytest.fixture
def here(tmp_path: Path, tiny: Make, code: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with something good of every kind, and a store."""
    write_small_files(tmp_path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "pictures" / "a.png")
    built(tiny("stage=proposals"))
    monkeypatch.setattr("unidet.cli.compose", lambda given: tiny(*given))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", OUTPUTS)
def test_an_output_that_finds_no_room(
    here: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    before = files(here)
    with no_room():
        status = exit_status(*shlex.split(command))
        gc.collect()
    complaint = capsys.readouterr().err
    assert (status, complaint.count("\n")) == (2, 1), complaint
    assert complaint.startswith("unidet: ")
    assert "File too large" in complaint
    assert files(here) == before
    assert "out" in complaint
    assert exit_status(*shlex.split(command)) == 0
    assert files(here) != before


@pytest.mark.parametrize("command", OUTPUTS[:7])
@pytest.mark.usefixtures("capsys")  # what pytest takes standard error to is a file, and full too
def test_an_output_that_was_there_stays(here: Path, command: str) -> None:
    (out,) = [word for word in command.split() if word.startswith("out.")]
    (here / out).write_bytes(b"of yesterday")
    with no_room():
        assert exit_status(*shlex.split(command)) == 2
    assert (here / out).read_bytes() == b"of yesterday"


@pytest.mark.parametrize(
    "writer",
    [
        write.write_safetensors,
        write.write_torch,
        write.write_jittor,
        write.write_npz,
        write.write_pickle,
    ],
)
@pytest.mark.parametrize("room", [0, 500])
def test_weights_that_find_no_room(
    tmp_path: Path, writer: Callable[[Path, dict[str, np.ndarray]], None], room: int
) -> None:
    arrays = {"a": np.zeros(1000, np.float32), "b": np.zeros(9, np.float32)}
    with no_room(room), pytest.raises(UserError, match=r"out: cannot be written .*File too large"):
        writer(tmp_path / "out", arrays)
    assert list(tmp_path.iterdir()) == []
