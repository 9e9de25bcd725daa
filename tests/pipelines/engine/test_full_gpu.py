"""What a stage says that has filled the GPU's memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from unidet import cli
from unidet.backend.runtime import bring_up
from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.engine.full_gpu import full_gpu_explained, setting_that_helps
from unidet.pipelines.engine.node import Node

JITTOR = (
    "Wrong inputs arguments, …\n[f 1127 executor.cc:698] Execute fused operator failed\n"
    "[f] Unable to alloc cuda device memory for size[i]: 8589934592"
)


@pytest.mark.parametrize(
    ("stage", "overrides", "setting"),
    [
        ("rpn", ["rpn.training.batch_size=12"], "rpn.training.accumulate=2 ("),
        (
            "rpn",
            ["rpn.training.batch_size=12", "rpn.training.accumulate=2", "train.processes=2"],
            "rpn.training.accumulate=6 (",
        ),
        ("roi", ["roi.training.batch_size=8", "roi.training.accumulate=8"], ""),
        ("clip", ["clip.training.batch_size=64"], "clip.training.batch_size=32"),
        ("proposals", ["proposals.batch_size=8"], "proposals.batch_size=4"),
        ("coco_eval", ["proposals.batch_size=8"], "proposals.batch_size=4"),
        ("lvis_raw", ["lvis_raw.batch_size=1"], ""),
        ("clip_embeddings", [], ""),
    ],
)
def test_a_setting_that_helps(stage: str, overrides: list[str], setting: str) -> None:
    """Fewer images at a time, as long as the parts of a batch stay equal."""
    helps = setting_that_helps(stage, compose([f"stage={stage}", *overrides]))
    assert helps.startswith(setting) if setting else helps == ""


def explained(work: Path, sharding: Any = None, error: str = JITTOR) -> str:
    job: Any = SimpleNamespace(work=work)
    with (
        pytest.raises(UserError) as raised,
        full_gpu_explained(Node("rpn"), compose(["stage=rpn"]), job, sharding),
    ):
        raise RuntimeError(error)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_training_says_where_it_resumes(tmp_path: Path) -> None:
    bring_up("cpu")
    from unidet.training.checkpoint import FILE

    said = explained(tmp_path)
    assert said.startswith("rpn: the GPU's memory is full: give rpn.training.accumulate=")
    assert "CUDA_VISIBLE_DEVICES=" in said
    assert said.endswith("; nothing of it is saved yet")
    save_file({"step": np.array([400])}, tmp_path / FILE)
    assert "; training resumes after step 400 where none of its settings" in explained(tmp_path)
    (tmp_path / FILE).write_bytes(b"damaged")
    assert explained(tmp_path).endswith("; nothing of it is saved yet")


def test_shards_that_are_finished_stay(tmp_path: Path) -> None:
    class Plan:
        def __len__(self) -> int:
            return 5

        def missing(self, work: Path) -> list[int]:
            return [3, 4]

    sharding = SimpleNamespace(plan=lambda job: Plan())
    assert explained(tmp_path, sharding).endswith("resumes with 3 of 5 shards finished")


def test_other_errors_pass(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="another"),
        full_gpu_explained(Node("rpn"), compose(["stage=rpn"]), SimpleNamespace(), None),
    ):
        raise RuntimeError("another")


def test_a_verb_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise RuntimeError(JITTOR)

    monkeypatch.setattr(cli, "_dispatch", fail)
    assert cli._status(["detect"]) == cli.BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unidet: the GPU's memory is full: end other programs")
