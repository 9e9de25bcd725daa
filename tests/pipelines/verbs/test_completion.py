"""Words are completed, as a person types them into a real bash and a real zsh."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unidet.cli import compose
from unidet.pipelines.verbs.support.completion import script

Command = Callable[..., tuple[int, str]]

SHELLS = {"bash": ["--norc", "-i"], "zsh": ["-f", "-i"]}
TYPED = {
    "unidet lin": "unidet lineage",
    "unidet gc --ma": "unidet gc --max-bytes",
    "unidet stage=lvis_e": "unidet stage=lvis_eval",
    "unidet stage=roi calibration.ga": "unidet stage=roi calibration.gamma=",
    "unidet status rpn=toy_d": "unidet status rpn=toy_detr",
}


@contextmanager
def terminal(shell: str) -> Iterator[Callable[[str, str], str]]:
    """enter(text, awaited) types it and returns what appears, until that does or 20 s are over."""
    child, screen = pty.fork()
    if child == 0:
        environment = {**os.environ, "TERM": "dumb", "PS1": "> ", "INPUTRC": os.devnull}
        os.execvpe(shell, [shell, *SHELLS[shell]], environment)

    def enter(text: str, awaited: str) -> str:
        os.write(screen, text.encode())
        seen, deadline = "", time.monotonic() + 20
        while awaited not in seen and time.monotonic() < deadline:
            if select.select([screen], [], [], 0.1)[0]:
                seen += re.sub(r"\x07|\x1b\[[?0-9;]*\w", "", os.read(screen, 65536).decode())
        return seen

    try:
        yield enter
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(screen)
        os.waitpid(child, 0)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_typed_is_completed(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    file = tmp_path / "completion.sh"
    file.write_text(script(shell, compose([])))
    with terminal(shell) as enter:
        if shell == "zsh":
            enter("autoload -U compinit; compinit -u -D\n", "")
        # Only behind a prompt: what is typed before it may wait for one more key.
        assert "now> " in enter(f"source {file}; PS1='no''w> '\n", "now> ")
        for start, whole in TYPED.items():
            assert whole in enter(f"{start}\t", whole)
            enter("\x15", "")


def test_another_shell_is_refused(command: Command) -> None:
    status, text = command("completion", "fish")
    assert status == 2
    assert "'bash', 'zsh'" in text
