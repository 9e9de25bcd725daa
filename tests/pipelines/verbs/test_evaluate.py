"""`unidet evaluate --check-official`: the official package's word on the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import complaint_of, exit_status, write_small_files

from unidet.evaluation import pycocotools_package


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_files(tmp_path)


def check(style: str) -> tuple[str, ...]:
    return ("evaluate", "truth.json", "results.json", "--style", style, "--check-official")


def test_coco_is_compared_with_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(*check("coco")) == 0
    printed = capsys.readouterr()
    assert "AP         1.0000" in printed.out
    assert printed.out.splitlines()[-1].startswith("equal to pycocotools within 1e-06")


def test_a_difference_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dict.fromkeys(pycocotools_package.KEYS, 0.25)
    monkeypatch.setattr(pycocotools_package, "pycocotools_metrics", lambda *paths: keys)
    assert exit_status(*check("coco")) == 2
    assert "differs from that of pycocotools by" in capsys.readouterr().err


def test_what_pycocotools_does_not_take_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    truth = json.loads(Path("truth.json").read_text())
    del truth["annotations"][0]["iscrowd"]
    Path("truth.json").write_text(json.dumps(truth))
    assert exit_status(*check("coco")) == 2
    (complaint,) = capsys.readouterr().err.splitlines()
    assert "pycocotools cannot evaluate results.json against truth.json (KeyError" in complaint


def test_proposals_have_no_official_package(capsys: pytest.CaptureFixture[str]) -> None:
    results = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}]
    Path("results.json").write_text(json.dumps(results))
    complaint = complaint_of(*check("proposals")[:1], capsys, *check("proposals")[1:])
    assert "styles lvis and coco alone" in complaint
