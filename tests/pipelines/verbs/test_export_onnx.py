"""`unidet export-onnx` on a model made by hand: what reaches it, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import exit_status

from unidet.pipelines.detector import model as module
from unidet.vocabularies.vocabulary import Vocabulary


class HandMade:
    def __init__(self, **source: Any) -> None:
        self.source = source

    def export_onnx(self, path: str, names: Vocabulary | None, *, raw: bool) -> tuple[str, ...]:
        ASKED.append((self.source, path, names, raw))
        return ("cat",) if names is None else names.names


ASKED: list[tuple[dict[str, Any], str, Vocabulary | None, bool]] = []


@pytest.fixture(autouse=True)
def _made_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.clear()
    monkeypatch.setattr(module, "load", HandMade)


def test_arguments_reach_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "m.onnx")
    words = ("--weights", "m.pth", "--vocab", "cat, dog", "--raw", "rpn.images.test_side=320")
    assert exit_status("export-onnx", *words, "--out", file) == 0
    ((source, path, names, raw),) = ASKED
    assert source == {
        "study": None,
        "proposals_weights": None,
        "weights": "m.pth",
        "text_encoder": None,
        "embeddings": None,
        "overrides": ["rpn.images.test_side=320"],
    }
    assert (path, raw) == (file, True)
    assert names is not None
    assert names.names == ("cat", "dog")
    assert f"2 names -> {file}" in capsys.readouterr().err


def test_the_model_s_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_status("export-onnx", "--study", "toy") == 0
    assert ASKED[0][1:] == ("model.onnx", None, False)
    assert "1 name -> model.onnx" in capsys.readouterr().err
