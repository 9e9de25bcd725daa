"""`unidet -h`: how to run stages, and every verb's own summary."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from typing import get_args

from unidet.console.terminal import fold
from unidet.pipelines import stages
from unidet.pipelines.verbs.support.verb import Group, load, names

_RUNS = """unidet: open-world detection studies in pure Jittor

Run a stage, and everything upstream that is missing or stale:
  unidet stage=report            the whole toy study, ending in an LVIS table
  unidet stage=lvis_eval calibration.gamma=0.3
  unidet -m stage=lvis_eval calibration.gamma=0,0.3,0.6
  unidet stage=report experiment=bench data.root=FOLDER
  unidet -C DIR stage=report     the study in DIR, created by `unidet new DIR`"""
_HABITS = """
unidet VERB -h explains a verb. Verbs about the study and the store take
key=value like a run, and most of them --json; WHAT is a stage, a path, or the
first digits of a digest (docs/store.md). To resume an interrupted run (exit
status 75), repeat the command. Bad input ends with one line and exit status 2;
HYDRA_FULL_ERROR=1 shows the traceback. unidet --version prints the version."""


def page() -> str:
    """The whole text, at most 80 columns wide."""
    return "\n".join([_RUNS, *_stages(), *_verbs(), _HABITS])


def _stages() -> list[str]:
    """Read off the folder: importing them would take longer than the rest of the page."""
    names_of_stages = [module.name for module in pkgutil.iter_modules(stages.__path__)]
    return fold(f"Stages: {', '.join(names_of_stages)}", "")


def _verbs() -> Iterator[str]:
    verbs = {name: load(name) for name in names()}
    for group in get_args(Group):
        yield f"\n{group}:"
        for name, verb in verbs.items():
            if verb.group == group:
                yield f"  {name:<13}{verb.summary}"
