"""The command as a process among others."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from commands import COMMAND

import unidet.pipelines.verbs
from unidet import cli
from unidet.pipelines.verbs.support.arguments import parse
from unidet.pipelines.verbs.support.verb import load, names
from unidet.store import disk

HELLO = """
from unidet.pipelines.verbs.support.verb import Verb
def run(options, compose):
    print("hello")
    return 4
VERB = Verb("The study", "greets", "unidet hello", run)
"""
CRASH = """
import ctypes
from unidet.backend import runtime
from unidet.pipelines.verbs.support.verb import Verb
def crash(options, compose):
    runtime.bring_up("cpu")
    ctypes.string_at(0)
VERB = Verb("The study", "crashes", "unidet crash", crash)
"""
FAILS = """
import errno
from unidet.pipelines.verbs.support.verb import Verb
def run(options, compose):
    raise {}
VERB = Verb("The study", "fails", "unidet fails", run)
"""
BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
FILES = {
    "truth": {
        "images": [{"id": 1, "width": 9, "height": 9}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "area": 25, "iscrowd": 0, **BOX}],
    },
    "results": [{"score": 0.5, **BOX}],
}
RUN_CRASH = """
import sys
import unidet.pipelines.verbs
from unidet import cli
unidet.pipelines.verbs.__path__.append(sys.argv[1])
cli.main(["crash"])
"""
IMPORTED = """
import sys
from unidet import cli
try:
    cli.main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
verbs = [name for name in sys.modules if name.startswith("unidet.pipelines.verbs.")]
print([name for name in verbs if ".support" not in name])
"""


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    seen = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, seen.out, seen.err


# --- verbs ------------------------------------------------------------------------------------


def test_a_verb_is_a_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    monkeypatch.setattr(
        unidet.pipelines.verbs, "__path__", [*unidet.pipelines.verbs.__path__, str(tmp_path)]
    )
    assert answer(capsys, "hello") == (4, "hello\n", "")
    assert "  hello        greets\n" in answer(capsys, "-h")[1]


def test_one_verb_imports_no_other(tmp_path: Path) -> None:
    for arguments, imported in (
        (["--version"], "[]"),
        (["path", "-h"], "['unidet.pipelines.verbs.path']"),
        (["import", "-h"], "['unidet.pipelines.verbs.import_']"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", IMPORTED, *arguments], capture_output=True, text=True
        )
        assert done.stdout.splitlines()[-1] == imported, done.stderr


def test_help_imports_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "jittor", "hydra", "unidet.pipelines.engine.engine")
    script = (
        "import sys\nfrom unidet import cli\n"
        "try:\n    cli.main(['-h'])\n"
        f"finally:\n    print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",), ("help",), ("stage=data", "-h")])
def test_help_names_every_stage_and_verb(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    status, out, err = answer(capsys, *arguments)
    assert (status, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines())
    words = out.replace(",", "").split()
    assert {*names(), "data", "calibration_sweep"} <= {*words}


@pytest.mark.parametrize("name", names())
def test_help_of_a_verb_has_an_example_that_it_takes(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    status, out, err = answer(capsys, name, "-h")
    assert (status, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines()), out
    assert out.startswith(f"usage: unidet {name}")
    example = re.search(r"^example: (.*)$", out, re.MULTILINE)
    assert example
    program, verb, *arguments = shlex.split(example[1])
    assert (program, verb) == ("unidet", name)
    parse(name, load(name), arguments)


def test_after_two_dashes_everything_is_a_file() -> None:
    given = ["--out", "x", "a.jpg", "seed=3", "--", "-dash.jpg", "--out", "seed=4", "-"]
    options = parse("detect", load("detect"), given)
    assert options.sources == ["a.jpg", "./-dash.jpg", "./--out", "seed=4", "-"]
    assert (options.out, options.overrides) == ("x", ["seed=3"])


@pytest.mark.parametrize("arguments", [("help", "gc"), ("-h", "gc"), ("--help", "gc")])
def test_help_about_a_verb(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, out, err = answer(capsys, *arguments)
    assert (status, err) == (0, "")
    assert out.startswith("usage: unidet gc ")


def test_help_shows_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    out = answer(capsys, "detect", "-h")[1]
    assert "minimum score, 0 to 1 (default: 0.3)" in out
    assert "None" not in out
    assert "False" not in out


# --- words that are wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stage=data", "stage=rpn"), "stage: is given twice, as data and as rpn; give it once"),
        (("status", "experiment=toy", "experiment=bench"), "experiment: is given twice, as toy"),
        (("-m", "stage=data", "seed=1,2", "seed=3"), "seed: is given twice, as 1,2 and as 3"),
        (("config", "+rpn=toy", "rpn=bench"), "rpn: is given twice, as toy and as bench"),
    ],
)
def test_of_two_values_none_wins_in_silence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = answer(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_only_what_is_required_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    said = "unidet: export: the following arguments are required: DIR; see: unidet export -h\n"
    assert answer(capsys, "export") == (2, "", said)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stauts",), "'stauts' is neither key=value nor a verb; did you mean 'status'?"),
        (("lvis_eval",), "lvis_eval is a stage; run it with: unidet stage=lvis_eval"),
        (("stage=lvis_evl",), "did you mean 'lvis_eval'?"),
        (("upstream=requir",), "did you mean 'require'?"),
        (("path", "lvis_evl"), "did you mean 'lvis_eval'?"),
        (("why", "rio"), "did you mean 'roi'?"),
        (("lineage", "rio"), "did you mean 'roi'?"),
        (("gc", "--keep-lst", "3"), "did you mean --keep-last?"),
        # as other programs call it; nothing is proposed that is not near
        (("detect", "a.jpg", "--conf", "0.3"), "--conf 0.3; it is --threshold here; see"),
        (("detect", "a.jpg", "--device", "0"), "0; it is runtime.device=cpu or cuda here; see"),
        (("detect", "a.jpg", "--source", "b"), "arguments: --source b; see: unidet detect -h"),
        (("detect", "a.jpg", "conf=0.3"), "conf=0.3: is not in the configuration; it is --thresh"),
        (("detect", "a.jpg", "text_encoder=b.pt"), "configuration; it is --text-encoder here; see"),
        (("detect", "a.jpg", "device=0"), "configuration; it is runtime.device=cpu or cuda here"),
        (("detect", "a.jpg", "--vocab", ""), "--vocab: names no category: give names"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = answer(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


@pytest.mark.parametrize("name", names())
def test_an_unknown_option_is_one_line(capsys: pytest.CaptureFixture[str], name: str) -> None:
    status, out, err = answer(capsys, name, "--nonsense")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"unidet: {name}: ")
    assert err.endswith(f"; see: unidet {name} -h\n")


def test_what_may_be_left_out_is_not_said_to_be_required(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "required: what; see" in answer(capsys, "rm")[2]


@pytest.mark.parametrize("first", ["status", "-m", "stage=rpn", "detect"])
def test_a_list_without_quotes_is_told_with_them(
    capsys: pytest.CaptureFixture[str], first: str
) -> None:
    status, out, err = answer(capsys, first, "rpn.images.sides=[320,", "416]")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.endswith('; write it so: rpn.images.sides="[320, 416]"\n')


def test_a_value_behind_a_blank_is_told_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "status", "seed=", "3")[2].endswith("; write it so: seed=3\n")


@pytest.mark.parametrize("argument", ["-m", "--multirun"])
def test_a_sweep_of_nothing_is_one_line(capsys: pytest.CaptureFixture[str], argument: str) -> None:
    status, out, err = answer(capsys, argument)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"unidet: {argument}: nothing to run")


# --- what the system refuses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("OSError(errno.EIO, 'Input/output error', '/disk/x')", "/disk/x: Input/output error"),
        ("OSError(errno.ENOSPC, 'No space left', '/disk/x')", "/disk/x: No space left; free some"),
        (
            "OSError(errno.EISDIR, 'Is a directory', '/d/x.draft', None, '/d/x')",
            "/d/x: Is a directory",
        ),
        (
            "OSError(errno.ENOTDIR, 'Not a directory', '/dev/null/pins/x')",
            "/dev/null is not a folder, where one belongs; move it elsewhere\n",
        ),
        ("ConnectionResetError('gone away')", "gone away"),
        ("BrokenPipeError(errno.EPIPE, 'Broken pipe')", "Broken pipe"),
        ("'root: gr\\udcf6n/x'.encode()", r"'root: gr\udcf6n/x': holds a name that is not text in"),
    ],
)
def test_an_error_of_the_system_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: str,
    says: str,
) -> None:
    sys.modules.pop("unidet.pipelines.verbs.fails", None)
    (tmp_path / "fails.py").write_text(FAILS.format(error))
    monkeypatch.setattr(unidet.pipelines.verbs, "__path__", [str(tmp_path)])
    status, out, err = answer(capsys, "fails")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"unidet: {says}")


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_compiler_that_a_signal_to_the_group_ended_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_asked: bool,
) -> None:
    sys.modules.pop("unidet.pipelines.verbs.fails", None)
    error = "RuntimeError('Check failed: ret>=0 Run cmd failed: g++ … an overcommit issue')"
    text = FAILS.format(error).replace("run)", "run, saves=True)")
    (tmp_path / "fails.py").write_text(text)
    monkeypatch.setattr(unidet.pipelines.verbs, "__path__", [str(tmp_path)])
    monkeypatch.setattr(cli, "stop_requested", lambda: is_asked)
    if not is_asked:
        with pytest.raises(RuntimeError, match="Run cmd failed"):
            cli.main(["fails"])
        return
    says = "unidet: stopped while a kernel was compiled; the same command resumes\n"
    assert answer(capsys, "fails") == (75, "", says)


@pytest.mark.parametrize("saves", [True, False])
def test_what_saves_nothing_does_not_speak_of_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], saves: bool
) -> None:
    sys.modules.pop("unidet.pipelines.verbs.fails", None)
    text = FAILS.format("KeyboardInterrupt").replace("run)", f"run, saves={saves})")
    (tmp_path / "fails.py").write_text(text)
    monkeypatch.setattr(unidet.pipelines.verbs, "__path__", [str(tmp_path)])
    advice = (
        "the same command resumes from the last save" if saves else "run the same command again"
    )
    assert answer(capsys, "fails") == (75, "", f"unidet: stopped; {advice}\n")


def test_a_folder_that_was_removed_under_a_shell_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    status, out, err = answer(capsys, "status")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the folder that this command was started in is gone" in err


def test_an_output_on_a_full_disk_is_one_line_and_nothing_is_left(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "sync", full)
    for name in ("truth", "results"):
        (tmp_path / f"{name}.json").write_text(json.dumps(FILES[name]))
    files = (str(tmp_path / "truth.json"), str(tmp_path / "results.json"))
    out = tmp_path / "metrics.json"
    status, _, err = answer(capsys, "evaluate", *files, "--style", "coco", "--out", str(out))
    assert status == 2
    assert err == f"unidet: {out}: cannot be written (No space left on device)\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "truth.json"]


def test_results_that_are_there_twice_are_noted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps(FILES["truth"]))
    for times, notes in ((1, 0), (2, 1)):
        results.write_text(json.dumps(times * FILES["results"]))
        err = answer(capsys, "evaluate", str(truth), str(results), "--style", "coco")[2]
        assert err.count("× detection that came before") == notes


# --- the process ------------------------------------------------------------------------------


def test_the_version() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"unidet {version('unidet')}\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """As in `unidet --help | head -1`; 141 is what a shell calls a broken pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from unidet.cli import main; main()", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_crash_in_compiled_code_says_where(tmp_path: Path) -> None:
    """Jittor would answer it itself: not a word here, and exit status 1, or no end at all."""
    (tmp_path / "crash.py").write_text(CRASH)
    command = [sys.executable, "-c", RUN_CRASH, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "in crash" in done.stderr


def test_no_password_in_a_traceback() -> None:
    """With the hint of `unidet -h`; of an unexpected error it is shown anyway."""
    command = [sys.executable, "-m", "unidet", "stage=roi", "remote=sftp://me:S3cret(@host"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "HYDRA_FULL_ERROR": "1"}
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "remote=sftp://me:***@host: the value cannot be read" in done.stderr
    assert "S3cret" not in done.stderr
