"""Every verb and every path option, given what is not there, or is a file, or a folder: one line.

Jittor cannot be imported here, so a bad path is also found before anything is loaded.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import write_small_files
from PIL import Image

from unidet import cli
from unidet.pipelines.verbs.support.arguments import (
    file_path,
    parser_of,
    store_address,
    vocabulary,
)
from unidet.pipelines.verbs.support.verb import load, names

INPUT_FILE = ("absent", "folder", "below")
PLACE_OF_FILE = ("in absent", "folder", "below")
OUTPUT_FILE = (*PLACE_OF_FILE, "proc")
INPUT_FOLDER = ("absent", "file", "below")
PLACE_OF_FOLDER = ("file", "below")
OUTPUT_FOLDER = (*PLACE_OF_FOLDER, "proc")
WHERE = {
    "absent": "no/such{0}",
    "in absent": "no/such/x{0}",
    "file": "file{0}",
    "folder": "folder{0}",
    "below": "file{0}/x{0}",
    "proc": "/proc/x{0}",  # nobody may write there
}
NEW = "new study --images pictures --annotations truth.json"
CONVERT = "data convert --images pictures --annotations truth.json --to voc"
# Command with a place for the path, its ending, and what it must not be.
COMMANDS = (
    ("accept data store.root={}", "", PLACE_OF_FOLDER),
    ("compare {} b.npz", ".npz", INPUT_FILE),
    ("compare b.npz {}", ".npz", INPUT_FILE),
    ("convert {} out.safetensors", ".pth", INPUT_FILE),
    ("convert b.npz {}", ".safetensors", PLACE_OF_FILE),
    ("convert b.npz {}", ".pth", PLACE_OF_FILE),
    ("data check --images {} --annotations truth.json", "", INPUT_FOLDER),
    ("data check --images pictures --annotations {}", ".json", ("absent", "below")),
    ("data stats --images pictures --annotations truth.json --out {}", ".png", OUTPUT_FILE),
    (f"{CONVERT} --out {{}}", "", PLACE_OF_FOLDER),
    ("detect {} --vocab cat", ".png", INPUT_FILE),
    ("detect picture.png --vocab cat --out {}", "", PLACE_OF_FOLDER),
    ("detect picture.png --vocab cat store.root={}", "", ("absent", *OUTPUT_FOLDER)),
    ("detect picture.png --weights {}", ".pth", INPUT_FILE),
    ("detect picture.png --proposals-weights {} --weights b.npz", ".pth", INPUT_FILE),
    ("detect picture.png --vocab cat --weights b.npz --text-encoder {}", ".pt", INPUT_FILE),
    ("detect picture.png --vocab cat --weights b.npz --embeddings {}", ".npz", INPUT_FILE),
    ("detect picture.png --vocab cat --study {}", "", INPUT_FOLDER),
    ("detect picture.png --annotations {}", ".json", INPUT_FILE),
    ("detect picture.png --example cat={}", ".png", INPUT_FILE),
    ("evaluate {} results.json --style coco", ".json", INPUT_FILE),
    ("evaluate truth.json {} --style coco", ".json", INPUT_FILE),
    ("evaluate truth.json results.json --style coco --out {}", ".json", OUTPUT_FILE),
    ("evaluate truth.json results.json --style coco --images {}", ".json", INPUT_FILE),
    ("evaluate truth.json results.json --style coco --per-category {}", ".csv", OUTPUT_FILE),
    ("export {}", "", PLACE_OF_FOLDER),
    ("export new data store.root={}", "", PLACE_OF_FOLDER),
    ("export-onnx --weights {}", ".pth", INPUT_FILE),
    ("export-onnx --proposals-weights {} --weights b.npz", ".pth", INPUT_FILE),
    ("export-onnx --vocab cat --weights b.npz --text-encoder {}", ".pt", INPUT_FILE),
    ("export-onnx --vocab cat --weights b.npz --embeddings {}", ".npz", INPUT_FILE),
    ("export-onnx --study {}", "", INPUT_FOLDER),
    ("export-onnx --weights b.npz --out {}", ".onnx", PLACE_OF_FILE),
    ("fetch --all --remote {}", "", ("folder", *INPUT_FOLDER)),
    ("gc --yes store.root={}", "", ("absent", *OUTPUT_FOLDER)),
    ("gc store.root={}", "", ("absent",)),
    ("import {}", "", INPUT_FOLDER),
    ("interchange {} out.pkl --annotations truth.json", ".json", INPUT_FILE),
    ("interchange {} out.json --annotations truth.json", ".pkl", INPUT_FILE),
    ("interchange results.json {} --annotations truth.json", ".pkl", OUTPUT_FILE),
    ("interchange results.json {} --annotations truth.json", ".json", OUTPUT_FILE),
    ("interchange results.json out.pkl --annotations {}", ".json", INPUT_FILE),
    ("lineage {}", "", INPUT_FILE),
    ("lineage data --picture {}", ".svg", PLACE_OF_FILE),
    ("path data store.root={}", "", PLACE_OF_FOLDER),
    ("new {} --images pictures --annotations truth.json", "", PLACE_OF_FOLDER),
    ("new study --images {} --annotations truth.json", "", INPUT_FOLDER),
    ("new study --images pictures --annotations {}", ".json", ("absent", "below")),
    (f"{NEW} --clip {{}}", "", INPUT_FOLDER),
    (f"{NEW} --embeddings {{}}", ".npy", INPUT_FILE),
    (f"{NEW} --weights {{}}", ".pth", INPUT_FILE),
    ("pin {}", "", INPUT_FILE),
    ("pin store.root={}", "", ("absent",)),
    ("plot {}", ".json", INPUT_FILE),
    ("plot log.csv --out {}", ".png", OUTPUT_FILE),
    ("plot log.csv --out {}", ".csv", OUTPUT_FILE),
    ("pull --all --remote {}", "", INPUT_FOLDER),
    ("push --remote {}", "", PLACE_OF_FOLDER),
    ("push {} --remote new", "", INPUT_FILE),
    ("push --remote new store.root={}", "", ("absent", "folder")),
    ("report {}", "", ("absent", "below")),
    ("report --out {}", ".html", PLACE_OF_FILE),
    ("rm {}", "", INPUT_FILE),
    ("search star --study {}", "", ("absent", "file", "below")),
    ("search star --study toy --out {}", ".png", PLACE_OF_FILE),
    ("search star store.root={}", "", PLACE_OF_FOLDER),
    ("status store.root={}", "", PLACE_OF_FOLDER),
    ("trace detr_r50 --weights {} --inputs inputs.npz --out out.npz", ".pth", INPUT_FILE),
    ("trace detr_r50 --weights b.npz --inputs {} --out out.npz", ".npz", INPUT_FILE),
    ("trace detr_r50 --weights b.npz --inputs inputs.npz --out {}", ".npz", PLACE_OF_FILE),
    ("unpin {}", "", INPUT_FILE),
    ("verify store.root={}", "", ("absent", "folder", *PLACE_OF_FOLDER)),
    ("verify --repair --remote {}", "", INPUT_FOLDER),
    ("why data store.root={}", "", PLACE_OF_FOLDER),
    ("work {}", ".json", INPUT_FILE),
    ("stage=data store.root={}", "", OUTPUT_FOLDER),
    ("stage=data experiment=coco data.root={}", "", INPUT_FOLDER),
    ("-m stage=data seed=1,2 store.root={}", "", OUTPUT_FOLDER),
)
# Command that reads the file, and the option or argument by which it would write to it as well.
OWN_INPUTS = (
    ("evaluate truth.json results.json --style coco --out {}", "truth.json"),
    ("evaluate truth.json results.json --style coco --out {}", "results.json"),
    ("evaluate truth.json results.json --style coco --images subset.json --out {}", "subset.json"),
    ("plot log.csv --out {}", "log.csv"),
    ("plot . --out {}", "log.csv"),
    ("convert b.safetensors {}", "b.safetensors"),
    ("interchange results.json {} --annotations truth.json", "results.json"),
    ("interchange results.json {} --annotations truth.json", "truth.json"),
    ("trace detr_r50 --weights b.npz --inputs inputs.npz --out {}", "inputs.npz"),
    ("trace detr_r50 --weights b.npz --inputs inputs.npz --out {}", "b.npz"),
    ("report page.html --out {}", "page.html"),
    ("data stats --images pictures --annotations truth.json --out {}", "pictures/a.png"),
)
NO_PATHS = {"completion", "config", "doctor"}
NOT_A_PATH = {None, "SIZE", "SCORE", "K", "DAYS", "MINUTES", "KEY", "NAME", "PATTERN", "ROWS", "N"}
CASES = [
    (command, WHERE[kind].format(ending), kind)
    for command, ending, kinds in COMMANDS
    for kind in kinds
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with something good of every kind, and what is wrong for each."""
    for ending in {ending for _, ending, _ in COMMANDS}:
        (tmp_path / f"file{ending}").write_bytes(b"?")
        (tmp_path / f"folder{ending}").mkdir()
    write_small_files(tmp_path)
    np.savez(tmp_path / "b.npz", a=np.zeros(3))
    np.savez(tmp_path / "inputs.npz", image=np.zeros(3))
    Image.new("RGB", (9, 9)).save(tmp_path / "picture.png")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "pictures" / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "jittor", None)  # makes an import of it fail
    return tmp_path


Answer = Callable[..., tuple[int, str, str]]


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Answer:
    """Exit status, standard output and standard error of a command."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert isinstance(stop.value.code, int)
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(("command", "path", "kind"), CASES)
def test_a_bad_path_is_one_line(
    here: Path, answer: Answer, command: str, path: str, kind: str
) -> None:
    before = sorted(here.rglob("*"))
    status, out, err = answer(*shlex.split(command.format(path)))
    assert status == 2, out + err
    assert err.startswith("unidet: ")
    assert err.count("\n") == 1, err
    named = [str(place) for place in (Path(path), *Path(path).parents) if str(place) not in "./"]
    assert any(name in err for name in named), err
    left = [place for place in here.rglob("*") if place not in before]
    assert not [place for place in left if "outputs" not in place.parts], left


@pytest.mark.parametrize(("command", "read"), OWN_INPUTS)
def test_no_output_replaces_what_is_read(
    here: Path, answer: Answer, command: str, read: str
) -> None:
    """Under any name; many tools destroy what they were given here."""
    (here / "subset.json").write_bytes((here / "truth.json").read_bytes())
    for name in ("b.safetensors", "page.html"):
        (here / name).write_bytes(b"mine")
    (here / f"link{Path(read).suffix}").symlink_to(read)
    before = (here / read).read_bytes()
    for path in (read, str(here / read), f"link{Path(read).suffix}"):
        status, out, err = answer(*shlex.split(command.format(path)))
        assert (status, err.count("\n")) == (2, 1), out + err
        assert f"{path}: " in err
        assert "is read" in err or "in which nothing is written" in err, err
    assert (here / read).read_bytes() == before


def test_an_empty_path_is_not_the_current_folder(here: Path, answer: Answer) -> None:
    """As a shell gives it where a variable is not set."""
    before = sorted(here.rglob("*"))
    verbs = {command for command, _, _ in COMMANDS if "=" not in command.split("{}")[0][-2:]}
    for command in (*sorted(verbs), "stage=data store.root={}", "status store.root={}"):
        status, out, err = answer(*(word.format("") for word in command.split()))
        assert (status, err.count("\n")) == (2, 1), out + err
        assert "must name a f" in err
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("place", ["sftp://me:S3cret@host/x", "me:S3cret@host:/x", "me@host:x"])
def test_an_address_is_no_place(here: Path, answer: Answer, place: str) -> None:
    """A folder of that name would be made, with the password in it."""
    before = sorted(here.rglob("*"))
    for command in (
        *(
            "export {}",
            "data prepare voc --out {}",
            "new {} --images pictures --annotations a.json",
        ),
        *(
            "detect picture.png --vocab cat --out {}",
            "status store.root={}",
            "stage=data store.root={}",
        ),
    ):
        status, out, err = answer(*command.format(place).split())
        assert (status, err.count("\n")) == (2, 1), out + err
        assert "not an address; only remote= and --remote take one" in err
        assert "S3cret" not in out + err
    assert sorted(here.rglob("*")) == before


def test_a_file_may_have_the_form_of_an_address(here: Path, answer: Answer) -> None:
    (here / "me@10:20.json").write_bytes((here / "truth.json").read_bytes())
    status, out, err = answer("evaluate", "me@10:20.json", "results.json", "--style=coco")
    assert status == 0, out + err


def test_no_path_option_is_left_out() -> None:
    for name in set(names()) - NO_PATHS:
        mine = " ".join(command for command, _, _ in COMMANDS if command.split()[0] == name)
        assert mine, f"{name}: no command above"
        for action in parser_of(name, load(name))._actions:
            takes_text = action.nargs != 0 and action.choices is None
            if action.option_strings and takes_text and action.metavar not in NOT_A_PATH:
                assert action.option_strings[0] in mine, f"{name} {action.option_strings[0]}"


def test_a_tilde_means_home(here: Path, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell does not replace it after `=`."""
    monkeypatch.setenv("HOME", str(here))
    command = ("evaluate", "~/truth.json", "~/results.json", "--style=coco", "--out=~/m.json")
    assert answer(*command)[0] == 0
    assert json.loads((here / "m.json").read_text())["AP"] == pytest.approx(1)
    refusal = answer("stage=data", "experiment=coco", "data.root=~/no")[2]
    assert f"data.root: {here}/no is not a folder" in refusal
    assert f"root: {here}/a=b\n" in answer("config", "store.root=~/a=b")[1]


@pytest.mark.parametrize(
    "command", ["config", "completion bash", "evaluate truth.json results.json --style coco"]
)
def test_what_needs_no_home_works_without(
    here: Path, answer: Answer, homeless: None, command: str
) -> None:
    status, _, err = answer(*command.split())
    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("status store.root=~/x", "store.root: begins with ~, but HOME is not set"),
        ("data stats --images ~/x --annotations y", "--images: begins with ~, but HOME is not set"),
    ],
)
def test_without_a_home_no_folder_of_that_name_is_made(
    here: Path, answer: Answer, homeless: None, command: str, what: str
) -> None:
    status, _, err = answer(*command.split())
    assert (status, err.count("\n")) == (2, 1)
    assert what in err
    assert not (here / "~").exists()


def test_no_such_user_has_an_example(here: Path, answer: Answer) -> None:
    err = answer("detect", "picture.png", "--vocab=cat", "--example=cat=~nobody-here/x.png")[2]
    assert err.endswith("--example: ~nobody-here/x.png: no such file\n")


# --- numbers ----------------------------------------------------------------------------------

TEXTS = (file_path, store_address, vocabulary)
NUMBERS = [
    (name, action.option_strings[0])
    for name in names()
    for action in parser_of(name, load(name))._actions
    if action.option_strings and action.type not in (None, *TEXTS)
]


@pytest.mark.parametrize(("name", "option"), NUMBERS)
@pytest.mark.parametrize("value", ["nan", "-1", "inf", "-inf", "many", "", "1e999", "9" * 5000])
def test_every_number_has_its_range(answer: Answer, name: str, option: str, value: str) -> None:
    status, out, err = answer(name, f"{option}={value}", *_required(name))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert option in err


@pytest.mark.parametrize("value", ["30", "1.01", "-0.1"])
def test_a_threshold_is_a_score(answer: Answer, value: str) -> None:
    err = answer("detect", "a.png", "--vocab", "cat", "--threshold", value)[2]
    assert f"--threshold: must be a number from 0 to 1, got '{value}'" in err


def test_a_sheet_has_its_bounds(answer: Answer) -> None:
    err = answer("search", "star", "--top", "1001")[2]
    assert "--top: must be a whole number from 1 to 1000, got '1001'" in err


def _required(name: str) -> list[str]:
    actions = parser_of(name, load(name))._actions
    required = [action for action in actions if action.required]
    return [word for action in required for word in (*action.option_strings[:1], "x")]


def test_git_ignores_what_verbs_write_into_the_current_folder() -> None:
    """In a checkout too: what `--out` is where none is given."""
    ignored = (Path(__file__).parents[1] / ".gitignore").read_text().split()
    defaults = {
        action.default
        for name in names()
        for action in parser_of(name, load(name))._actions
        if "--out" in action.option_strings and action.default
    }
    assert {"detections", "report.html", "search.png"} <= defaults
    assert [one for one in sorted(defaults) if not {f"/{one}", f"/{one}/"} & {*ignored}] == []
