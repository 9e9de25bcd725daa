"""`-C DIR` and `--config-dir DIR`: folders of configuration beside `conf/`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import exit_status

from unidet.config.compose import compose
from unidet.config.folders import STUDY, study_folder, take_folders
from unidet.errors import UserError


@pytest.fixture(params=["study", "my study, 'x' [1]", "日本=a${b}"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A study that differs from toy in its seed."""
    place = tmp_path / request.param
    (place / STUDY).parent.mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - toy\n  - _self_\nexperiment: study\nseed: 7\n"
    (place / STUDY).write_text(text)
    (place / "rpn").mkdir()
    (place / "rpn/mine.yaml").write_text("defaults:\n  - toy\n  - _self_\ntraining: {steps: 5}\n")
    return place


def composed(*arguments: str, overrides: tuple[str, ...] = ()) -> tuple[int, str, int]:
    folders, rest = take_folders(arguments)
    config = compose(folders.before([*rest, *overrides]))
    steps = config.rpn.training.steps if config.rpn.training else 0
    return config.seed, config.experiment, steps


def test_a_study_is_run_from_its_folder(folder: Path) -> None:
    assert composed("-C", str(folder)) == (7, "study", 450)
    assert composed("stage=data", f"-C={folder}", "seed=8") == (8, "study", 450)


def test_a_folder_adds_options_to_those_of_conf(folder: Path) -> None:
    assert composed("--config-dir", str(folder)) == (0, "toy", 450)
    assert composed(f"--config-dir={folder}", "rpn=mine") == (0, "toy", 5)
    assert composed("--config-dir", str(folder), "experiment=study", "rpn=mine") == (7, "study", 5)


def test_the_folder_of_a_study_is_found_again(folder: Path, tmp_path: Path) -> None:
    """For messages that say how to run it."""
    (tmp_path / "more").mkdir()
    more = ("--config-dir", str(tmp_path / "more"))
    chosen, _ = take_folders([*more, "-C", str(folder)])
    assert study_folder(chosen.before(["seed=8"])) == folder
    assert study_folder(chosen.before(["experiment=toy"])) is None
    assert study_folder(take_folders(more)[0].before([])) is None
    assert study_folder(["experiment=study", f"hydra.searchpath=[{tmp_path / 'none'}]"]) is None
    assert study_folder([]) is None


def test_what_is_given_stands(folder: Path) -> None:
    assert composed("-C", str(folder), "experiment=toy", "rpn=mine") == (0, "toy", 5)


def test_hydras_search_path_works_by_itself(tmp_path: Path) -> None:
    (tmp_path / "rpn").mkdir()
    (tmp_path / "rpn/mine.yaml").write_text("defaults:\n  - toy\n  - _self_\nclasses: dataset\n")
    config = compose([f"hydra.searchpath=[{tmp_path}]", "rpn=mine"])
    assert config.rpn.classes == "dataset"


def test_verbs_take_a_folder_before_and_behind(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (("-C", folder, "config"), ("config", "-C", folder)):
        assert exit_status(*arguments) == 0
        assert "seed: 7\n" in capsys.readouterr().out


def test_parts_that_nothing_reads_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a closed-set study; all are shown while it cannot be told what runs."""
    own = "{annotations: a.json, images: i, vocabulary: v}"
    study = ["experiment=closed_set", f"data.training.own={own}"]
    study.append(f"data.evaluation.own={own[:-1]}, style: coco}}")
    assert exit_status("config", *study) == 0
    shown = capsys.readouterr().out
    unread = "calibration, calibration_sweep, detection, end2end, lvis_eval, lvis_raw, roi"
    assert shown.endswith(f"\n# no stage of this study reads: {unread}\n")
    assert "\nroi:" not in shown
    assert exit_status("config", *study, "finetune=own") == 0
    assert "\nroi:" in capsys.readouterr().out


def test_a_verb_that_is_about_no_study_takes_no_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status("-C", folder, "doctor") == 2
    assert "doctor: does not use a study, so it takes neither -C" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("defaults: [toy, _self_]\n\tseed: 1\n", "study.yaml.*line 2"),
        ("defaults: [toy, _self_]\nseed: 1\nseed: 2\n", "found duplicate key seed"),
        ("seed: !!python/object/apply:os.getpid []\n", "could not determine a constructor"),
        ("defaults: [toy]\nnull: 2\n", "configuration: cannot be composed"),
        ("defaults: [study]\n", "nested endlessly"),
        # whether it is read to its end first is up to the interpreter's limit
        ("seed: " + "[" * 3000, "nested endlessly|expected the node content"),
    ],
)
def test_a_study_that_is_no_yaml_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / STUDY).parent.mkdir()
    (tmp_path / STUDY).write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        composed("-C", str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-C",), "-C: a folder must follow"),
        (("--config-dir",), "--config-dir: a folder must follow"),
        (("-C", "/nowhere/at/all"), "-C /nowhere/at/all: is not a folder; unidet new makes one"),
        (("stage=data", "-C", "{}"), "holds no experiment/study.yaml; unidet new makes one"),
    ],
)
def test_a_folder_that_is_none_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        take_folders([argument.format(tmp_path) for argument in arguments])
    assert "\n" not in str(caught.value)


def test_the_jobs_of_a_sweep_know_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unidet.cli._launch", lambda *arguments: None)
    store = f"store.root={tmp_path / 'store'}"
    assert exit_status("-C", folder, "-m", "stage=data", store, "data.val_scenes=3,4") == 2
    jobs = sorted((tmp_path / "store/sweeps").glob("*/0*[0-9].json"))
    assert len(jobs) == 2
    for job in jobs:
        assert compose(json.loads(job.read_text())["overrides"]).seed == 7
