"""What a person sees of long work where there is no terminal."""

from __future__ import annotations

import pytest

from unidet.console import terminal
from unidet.console.terminal import Progress


def test_no_password_stands_in_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say("failed: Either remove + prefix: 'remote=sftp://me:S3cret@host/x'; or add it")
    terminal.say("rtsp://me:S3cret@camera/1.jpg: is an address")
    assert capsys.readouterr().err == (
        "failed: Either remove + prefix: 'remote=sftp://me:***@host/x'; or add it\n"
        "rtsp://me:***@camera/1.jpg: is an address\n"
    )


def test_lines_say_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resumed at 10 of 40; 6 more in 30 s, 5 s each: 24 left take 2 minutes."""
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    progress = Progress("training", stoppable=False)
    for done, seconds in ((10, 100.0), (12, 110.0), (16, 130.0), (40, 250.0)):
        clock[0] = seconds
        progress.update(done, 40, "loss 1.5")
    assert capsys.readouterr().err.splitlines() == [
        "  training: 16/40 loss 1.5, 2 min 00 s left",
        "  training: 40/40 loss 1.5",
    ]


def test_the_time_left_is_that_of_what_is_counted_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pull counts the bytes of each artefact anew: after 100 s for the first, 10 of the
    next came in 20 s, so the 15 that are left take 30 s."""
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    progress = Progress("pull", stoppable=False)
    for done, total, seconds in ((1, 99, 100.0), (99, 99, 200.0), (5, 30, 201.0), (15, 30, 221.0)):
        clock[0] = seconds
        progress.update(done, total)
    assert capsys.readouterr().err.splitlines() == ["  pull: 99/99", "  pull: 15/30, 30 s left"]
