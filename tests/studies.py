"""Studies run in this process, their artefacts by the text of the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unidet.cli import compose
from unidet.config.study import Config
from unidet.pipelines.engine import acceptance, changes, engine, keys
from unidet.pipelines.engine.graph import targets
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.progress_lines import Done
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.engine.states import current, states


def in_store(folder: Path, *overrides: str) -> Config:
    """A study in this store, unless the overrides name another.

    Its folder is put in afterwards: the same overrides of another test are composed already, which
    takes a quarter of a second otherwise.
    """
    config = compose(overrides)
    if any(override.startswith("store.root=") for override in overrides):
        return config
    return replace(config, store=replace(config.store, root=str(folder)))


def built(config: Config) -> dict[str, Done]:
    """Run the target and what it needs."""
    return {str(node): done for node, done in engine.run(config).items()}


def state_of(config: Config) -> dict[str, str]:
    """Where the configured target and all it needs stand."""
    return {str(state.node): state.state for state in states(config)}


def folder_of(target: str, config: Config) -> Path | None:
    """The folder of the target's main artefact; None where it is not built."""
    store = engine.open_store(config)
    action = current(target, config, store)[targets(target, config)[0]]
    return None if action is None else store.folder(action)


def whole(*stages: str) -> dict[str, Input]:
    """Inputs of a node that takes the only artefact of each of these stages."""
    return {stage: Input(Node(stage)) for stage in stages}


def writing(name: str, reads: tuple[str, ...], inputs: tuple[str, ...]) -> Stage:
    """A stage whose output says what it read, so that a change runs through."""

    def run(job: Job) -> None:
        below = "".join((job.inputs[part] / "value").read_text() for part in inputs)
        own = "".join(str(getattr(job.config, part)) for part in reads)
        (job.out / "value").write_text(f"{name}({own}{below})")

    return Stage(name, 1, reads, run, inputs=lambda config, name: whole(*inputs))


def same_code(monkeypatch: pytest.MonkeyPatch, modules: Mapping[str, str]) -> None:
    """Every stage's code is what `modules` holds at that moment."""
    for user in (acceptance, changes, engine, keys):
        monkeypatch.setattr(user, "modules_of", lambda node, config, store: dict(modules))


def bare_job(folder: Path, **more: Any) -> Job:
    """A job of no configuration that works in `folder`."""
    nothing: dict[str, Any] = {key: {} for key in ("settings", "inputs", "images", "files")}
    values = {
        **nothing,
        "name": "",
        "config": None,
        "work": folder,
        "out": folder,
        "bring_up": lambda: None,
        "digests_in": lambda folder: {},
        "siblings": lambda: (),
    }
    return Job(**{**values, **more})
