"""Every command on the pages for readers is one that the command line takes.

Verbs are parsed; runs, sweeps and what a verb is told of a study are composed, so that stages,
keys and values exist. What the commands do is tested where it is short: docs/own-data.md in
tests/pipelines/test_own_data.py, `doctor`, `status` and the like beside their verbs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from unidet.cli import compose
from unidet.config.combinations import combinations
from unidet.config.compose import compose_prepared
from unidet.errors import UserError
from unidet.pipelines.engine.graph import STAGES
from unidet.pipelines.engine.node import Node
from unidet.pipelines.verbs.support.arguments import parse
from unidet.pipelines.verbs.support.verb import load, names

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OWN = "experiment=closed_set"
"""Stands for `-C DIR`, a folder that a reader has made."""


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command in a fenced block without a language and in a table; of synopses,
    and of figures in letters, none."""
    for text in written(page.read_text()):
        text = re.sub(r"\$\([^)]*\)", "PLACE", text.strip().removeprefix("$ "))
        is_synopsis = "…" in text or " [-" in text
        is_figure = re.search(r"\w  +[^ #]", text)
        if text.startswith("unidet ") and not (is_synopsis or is_figure):
            yield shlex.split(text, comments=True)[1:]


def written(page: str) -> Iterator[str]:
    """Lines of blocks, and code of at least three words in rows of tables."""
    for block in re.findall(r"^ *```\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    for row in re.findall(r"^\|.*", page, re.MULTILINE):
        yield from (code for code in re.findall(r"`([^`]+)`", row) if code.count(" ") > 1)


EVERY = {page.relative_to(ROOT).as_posix(): [*commands(page)] for page in PAGES}


@cache
def composed(overrides: tuple[str, ...]) -> object:
    return compose(list(overrides))


def check(words: list[str]) -> None:
    """UserError where a command is none."""
    words = [*words[2:], OWN] if words[0] == "-C" else words
    first, *rest = words
    if first in names():
        check_verb(first, rest)
    elif first == "-m":
        jobs, _ = combinations([item for item in rest if not item.startswith("hydra/")])
        check_run(jobs[-1])
    elif "=" in first:
        check_run(words)
    elif first not in ("-h", "--version", "help"):
        raise UserError(f"{first}: neither a verb nor key=value")


def fault_of(words: list[str]) -> str:
    """What the command line says of a command that is none."""
    try:
        check(words)
    except UserError as fault:
        return str(fault)
    return ""


def check_verb(name: str, arguments: list[str]) -> None:
    options = parse(name, load(name), [item for item in arguments if item != OWN])
    overrides = getattr(options, "overrides", [])
    if name == "data" and options.action == "prepare":
        compose_prepared(options.dataset, overrides)
    elif overrides:
        composed(tuple(overrides))


def check_run(overrides: list[str]) -> None:
    """Composes, and the stage is one; sets may be a reader's own."""
    config = composed(tuple(overrides))
    node = Node.parse(config.stage)  # type: ignore[attr-defined]
    if node is None or node.stage not in STAGES:
        raise UserError(f"stage={config.stage}: no stage")  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", [name for name, found in EVERY.items() if found])
def test_every_command_is_one(page: str) -> None:
    faults = {shlex.join(words): fault_of(words) for words in EVERY[page]}
    assert {command: fault for command, fault in faults.items() if fault} == {}


def test_make_targets_exist() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"^(?:\$ )?make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert named
    assert named - known == set()


def test_commands_are_found_and_wrong_ones_told() -> None:
    assert sum(map(len, EVERY.values())) > 100
    wrong = (["statsu"], ["stage=rpm"], ["status", "--jsn"], ["stage=rpn", "rpn.steps=1"])
    assert all(map(fault_of, wrong))
