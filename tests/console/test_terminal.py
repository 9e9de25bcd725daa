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
