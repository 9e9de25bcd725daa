"""The verbs as a person uses them: command in, lines and status out; stages do almost nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from unidet import cli
from unidet.config.study import Config
from unidet.pipelines.engine import engine
from unidet.store.store import Store

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    tiny: Make,
    code: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """command("lineage", "roi"): exit status, and what was printed, on the tiny study's store."""

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        seen = capsys.readouterr()
        if not {"--json", "--dot"} & {*arguments}:
            assert all(len(line) <= 80 for line in seen.out.splitlines()), seen.out
        assert isinstance(stop.value.code, int)
        return stop.value.code, seen.out + seen.err

    monkeypatch.setattr(cli, "compose", lambda given: tiny(*given))
    monkeypatch.setitem(sys.modules, "jittor", None)  # makes an import of it fail
    return run


@pytest.fixture
def answer(command: Command) -> Callable[..., Any]:
    """answer("lineage", "roi"): what the verb says with `--json`."""

    def ask(*arguments: str) -> Any:
        status, text = command(*arguments, "--json")
        assert status == 0, text
        return json.loads(text)

    return ask


@pytest.fixture
def store(tiny: Make) -> Store:
    """The tiny study's."""
    return engine.open_store(tiny())
