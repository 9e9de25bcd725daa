"""A toy study small enough to run in seconds, and stages that count their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from studies import in_store, same_code, writing

from unidet.config.study import Config
from unidet.store.store import Store

TINY = (
    "data.train_scenes=8",
    "data.val_scenes=5",
    "data.dev_scenes=4",
    "data.clip_scenes=12",
    "data.clip_test_scenes=4",
    "data.processes=1",
    "clip.training.steps=3",
    "clip.training.batch_size=8",
    "rpn.training.steps=3",
    "rpn.training.batch_size=2",
    "roi.training.steps=3",
    "roi.training.batch_size=2",
    "proposals.images_per_shard=3",
    "lvis_raw.images_per_shard=3",
    "calibration_sweep.betas=[0.4]",
    "calibration_sweep.gammas=[0.0,0.6]",
    "report.examples=1",
    "runtime.device=cpu",
)


@pytest.fixture(scope="session", autouse=True)
def _sources_read_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A store keeps what it has read of the sources for its keys; with a store of its own every
    test would read them all anew, which takes a second."""
    kept = tmp_path_factory.mktemp("sources") / "code"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "code_cache", kept)
        yield


@pytest.fixture(scope="session")
def overrides() -> tuple[str, ...]:
    """The tiny study as overrides for the command."""
    return TINY


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Config]:
    """Composes the tiny study in a store of its own."""

    def make(*overrides: str) -> Config:
        return in_store(tmp_path / "store", *TINY, *overrides)

    return make


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """data -> rpn -> proposals -> roi -> report, and coco_eval beside them.

    The modules of every stage are what this holds.
    """
    stages = {
        "data": writing("data", ("seed",), ()),
        "rpn": writing("rpn", ("rpn",), ("data",)),
        "proposals": writing("proposals", ("proposals",), ("rpn",)),
        "roi": writing("roi", ("roi",), ("proposals", "data")),
        "report": writing("report", ("report",), ("roi",)),
        "coco_eval": writing("coco_eval", ("report",), ("rpn",)),
    }
    modules = {"unidet.a": "1", "unidet.b": "1"}
    for user in ("engine.graph", "verbs.support.selection"):
        monkeypatch.setattr(f"unidet.pipelines.{user}.STAGES", stages)
    same_code(monkeypatch, modules)
    return modules
