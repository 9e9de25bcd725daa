"""Standard streams that are closed, full, or lack letters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PREPARED = "import warnings; from unidet.console.streams import prepare; prepare(); "


def shell(script: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a line of shell in which `unidet` is this installation's."""
    define = f'unidet() {{ "{sys.executable}" -m unidet "$@"; }}; '
    values = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "", **environment}
    return subprocess.run(
        ["bash", "-c", define + script], capture_output=True, text=True, env=values
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("verb", ["--version", "config", "detect -h"])
def test_a_full_disk_behind_standard_output_is_one_line(verb: str, unbuffered: str) -> None:
    done = shell(f"unidet {verb} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert done.stderr == (
        "unidet: standard output: No space left on device; "
        "free some space and run the same command again\n"
    )


def test_a_closed_standard_output_is_said_and_changes_nothing() -> None:
    done = shell("unidet --version >&-")
    assert done.returncode == 0
    assert done.stderr == "unidet: standard output is closed; nothing is printed there\n"
    assert shell("unidet status --nonsense >&-").returncode == 2


def test_no_stream_at_all_changes_no_status() -> None:
    assert shell("unidet --version <&- >&- 2>&-").returncode == 0
    assert shell("unidet nonsense <&- >&- 2>&-").returncode == 2


def test_a_full_standard_error_changes_no_status() -> None:
    assert shell("unidet nonsense 2> /dev/full").returncode == 2
    assert shell("unidet --version 2> /dev/full").returncode == 0


@pytest.mark.parametrize("unheard", ["2> /dev/full", "2> >(exec <&-)"])
def test_work_goes_on_where_nobody_hears_of_it(unheard: str) -> None:
    """A log on a full disk, and a pipe whose reader has left: progress has no place to go to."""
    script = f"{PREPARED}import sys, time; from unidet.console.terminal import say; time.sleep(0.5)"
    script += "; say('a step'); say('another'); sys.stderr.write('.'); print('done')"
    done = shell(f'"{sys.executable}" -c "{script}" {unheard}')
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_on_standard_error_does_not_wait_for_the_next(unbuffered: str) -> None:
    script = f"{PREPARED}import os, sys; print('a line', file=sys.stderr); os._exit(0)"
    done = shell(f'"{sys.executable}" -c "{script}"', PYTHONUNBUFFERED=unbuffered)
    assert done.stderr == "a line\n"


def test_a_locale_whose_file_names_are_not_utf8_is_told(tmp_path: Path) -> None:
    """Images would be missing, and names in results garbled."""
    bytes_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "images" / "é.jpg")
    (tmp_path / "labels.json").write_text(
        '{"images": [{"id": 1, "file_name": "é.jpg", "width": 9, "height": 9}], "annotations": '
        '[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, '
        '"iscrowd": 0}], "categories": [{"id": 1, "name": "cat"}]}',
        encoding="utf-8",
    )
    script = f"cd {tmp_path}; unidet data convert --images images"
    script += " --annotations labels.json --to voc --out voc"
    done = shell(script, **bytes_only)
    told, line = done.stderr.splitlines()
    assert done.returncode == 2
    assert told == (
        "unidet: file names are read as ascii, as this terminal's locale says; where they are "
        "UTF-8, try again with PYTHONUTF8=1 before the command"
    )
    assert "no image" in line
    done = shell(script, **{**bytes_only, "PYTHONUTF8": "1"})
    assert done.returncode == 0
    assert "locale" not in done.stderr
    assert (tmp_path / "voc" / "Annotations" / "é.xml").is_file()


def test_a_name_that_such_a_locale_cannot_write_is_one_line() -> None:
    script = """
from unidet import cli
def write(given):
    open("\\xe9.txt", "w")
cli._dispatch = write
cli.main([])
"""
    values = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, **values, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == [
        "unidet: 'é.txt': holds letters that file names lack in this terminal's locale; "
        "try again with PYTHONUTF8=1 before the command"
    ]


def test_a_terminal_without_the_letters_gets_escapes() -> None:
    done = shell("unidet nonsense-é; unidet config experiment='données'", PYTHONIOENCODING="ascii")
    assert r"'nonsense-\xe9' is neither" in done.stderr
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    script = PREPARED + "print('← é')"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)
    assert (printed.stdout, printed.stderr) == (rb"\u2190 \xe9" + b"\n", b"")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """141 is what a shell calls a broken pipe."""
    done = shell("{ sleep 0.3; unidet config; echo $? >&2; } | true")
    assert done.stderr == "141\n"


def test_a_message_is_one_line_without_control_codes(tmp_path: Path) -> None:
    done = shell(r"unidet $'no\e[31m\nsense'")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "\x1b" not in done.stderr


def test_a_warning_is_one_line() -> None:
    script = PREPARED + "warnings.warn('odd palette')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == "unidet: odd palette\n"
