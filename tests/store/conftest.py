"""A store in a temporary folder, and a stage that writes what it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from unidet.store.record import Action
from unidet.store.store import Store, key_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


@pytest.fixture
def publish(store: Store) -> Callable[..., Action]:
    """publish({"name": b"content"}, stage="rpn", seed=0): an action of `stage` with these files.

    `inputs` are the actions that it was made from, `seconds` what it cost.
    """

    def run(
        files: Mapping[str, bytes],
        stage: str = "rpn",
        inputs: Sequence[Action] = (),
        seconds: float = 1.0,
        **config: Any,
    ) -> Action:
        preimage = {"schema": 1, "stage": stage, "config": config}
        key = key_of(preimage)
        out = store.draft(key)
        for name, content in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
        return store.publish(
            key,
            preimage,
            stage,
            out,
            started=time.time(),
            seconds=seconds,
            inputs={one.stage: one for one in inputs},
        )

    return run
