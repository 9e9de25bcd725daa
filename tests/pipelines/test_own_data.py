"""docs/own-data.md, command by command, on twelve images."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from commands import exit_status
from labelled import write_twelve
from stage_pages import departures

from unidet.data.own_data import reader_of
from unidet.pipelines.wiring import new_weights
from unidet.weights.class_names import read_class_names
from unidet.weights.layouts import nanodet_plus
from unidet.weights.layouts.layout import Weights

PAGE = Path(__file__).resolve().parents[2] / "docs/own-data.md"
BLOCKS = [
    [shlex.split(line)[1:] for line in block.splitlines()]
    for block in re.findall(r"^```\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
]
TINY = (
    "rpn.training.steps=1",
    "rpn.training.batch_size=2",
    "rpn.images.sides=[64]",
    "rpn.images.test_side=64",
    "runtime.device=cpu",
)
"""So that a training is over at once; behind what the page gives, which wins otherwise."""
COMPARISON = ["report", "birds", "any", "--out", "compared.html"]
"""Needs both studies finished, one of them with CLIP's weights; see verbs/test_report.py."""
Folder = dict[str, bytes]


def contents(*folders: Path) -> Folder:
    """Every file below the folders."""
    files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
    return {str(file): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all formats: the same images and boxes are trained on once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(params=["coco", "yolo", "voc"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos/ and labels/ of a format, and the files that the page speaks of."""
    labels = write_twelve(tmp_path / "photos")
    (tmp_path / "labels").mkdir()
    reader_of(request.param).write(labels, tmp_path / "labels", tmp_path / "photos")
    (tmp_path / "clip").mkdir()
    for name in ("clip/RN50.pt", "clip/bpe_simple_vocab_16e6.txt.gz", "nanodet_plus_m_416.param"):
        (tmp_path / name).touch()
    monkeypatch.setattr(new_weights, "open_weights", lambda path: Weights(nanodet_plus.M, {}, ()))
    np.save(tmp_path / "names.npy", np.ones((3, 1024), np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: list[str], store: Path) -> int:
    """A command of the page, with trainings that are over at once."""
    given = [item.partition("=")[0] for item in command]
    is_run = any(item.startswith("stage=") for item in command)
    tiny = [item for item in TINY if item.partition("=")[0] not in given] if is_run else []
    stored = is_run or "detect" in command
    return exit_status(*command, *tiny, *([f"store.root={store}"] if stored else []))


def test_two_commands_lead_from_pictures_to_a_report(
    desk: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(desk / "photos", desk / "labels")
    make, report = BLOCKS[0]
    assert run(make, store) == 0
    said = capsys.readouterr().out
    assert "12 images, 18 boxes, 3 names (" in said
    assert "9 images for training, 3 for evaluation, by content and seed 0" in said
    assert "next: unidet -C " in said
    study = (desk / "birds/experiment/study.yaml").read_text()
    assert len([line for line in study.splitlines() if not line.startswith("#")]) < 16
    assert run(report, store) == 0
    page = Path(capsys.readouterr().out.splitlines()[-2].removeprefix("report: "))
    text = page.read_text()
    assert [name for name in ("red", "green", "blue", "AP50") if name not in text] == []
    assert contents(desk / "photos", desk / "labels") == before
    for place in (store / "artefacts").iterdir():
        stage = place.name.rpartition("-")[0]
        assert departures(stage, stage, place) == []
        if stage == "rpn":
            assert set(read_class_names(place / "model.safetensors")) == {"red", "green", "blue"}


@pytest.mark.slow
@pytest.mark.parametrize("desk", ["voc"], indirect=True)
def test_every_other_command_of_the_page_works(
    desk: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(BLOCKS[0][0], store) == 0
    before = contents(desk / "photos", desk / "labels")
    commands = [command for block in BLOCKS[1:] for command in block]
    commands.remove(COMPARISON)
    assert len(commands) >= 12
    failed = [command for command in commands if run(command, store) != 0]
    assert failed == []
    assert contents(desk / "photos", desk / "labels") == before
