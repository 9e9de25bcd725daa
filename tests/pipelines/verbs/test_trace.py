"""`unidet trace`: what it refuses, in one line and without a file left behind."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commands import complaint_of

refused = partial(complaint_of, "trace")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.savez(tmp_path / "in.npz", img=np.zeros((1, 3, 64, 64), np.float32))
    return tmp_path / "in.npz"


def files(folder: Path, image: Path, **changes: object) -> list[object]:
    given = {"weights": folder / "w.npz", "inputs": image, "out": folder / "out.npz"} | changes
    return [part for name, value in given.items() for part in (f"--{name}", value)]


def test_unknown_models_and_options_that_do_not_fit(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = files(tmp_path, image)
    assert "there are cln_r50_fpn" in refused(capsys, "cln_r50", *common, folder=tmp_path)
    assert "add --train" in refused(
        capsys, "cln_r50_fpn", *common, "--grads", "neck", folder=tmp_path
    )
    nowhere = files(tmp_path, image, out=tmp_path / "absent/out.npz")
    said = refused(capsys, "cln_r50_fpn", *nowhere, folder=tmp_path)
    assert "absent/out.npz: there is no folder" in said


def test_weights_of_another_architecture_torn_or_absent(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = files(tmp_path, image)
    assert "no checkpoint at" in refused(capsys, "cln_r50_fpn", *common, folder=tmp_path)
    np.savez(tmp_path / "w.npz", weight=np.zeros(3))
    complaint = refused(capsys, "cln_r50_fpn", *common, folder=tmp_path)
    assert "does not fit unidetector_stage1" in complaint
    assert "1 unexpected (weight)" in complaint
    (tmp_path / "w.npz").write_bytes(image.read_bytes()[:200])
    assert "w.npz is truncated" in refused(capsys, "cln_r50_fpn", *common, folder=tmp_path)
