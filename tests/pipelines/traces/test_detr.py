"""`unidet trace` of RT-DETR and DETR against the official code's recordings, names and all.

How near float32 can come, and why some tensors cannot come nearer: docs/parity-detr.md.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unidet.weights.compare import compare_files

NOT_TRACED = ("gt/", "dn/draw", "after/", "ema", "step2_", "grad", "groups", "multiscale/")
IMAGES = ("img_u8", "img0_u8", "img1_u8", "f64/", "shape640/", "post/orig_size")
DEEP = ("decoder/layer", "pred_logits", "pred_boxes", "loss/", "loss_", "grad/")
"""What the noise of one refined box after the other reaches."""


@pytest.fixture(scope="module")
def weights(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = reference / "reference/detectors"

    def build(model: str) -> Path:
        out = tmp_path_factory.mktemp("weights") / f"{model}.npz"
        rule = folder / "deterministic_weights_detr.py"
        command = [sys.executable, rule, folder / f"keys_{model}.txt", out]
        subprocess.run(command, check=True, capture_output=True)
        return out

    return build


def recorded(reference: Path, name: str) -> Path:
    return reference / f"reference/detectors/golden_{name}.npz"


def wanted(names: list[str], left_out: tuple[str, ...]) -> set[str]:
    """Recorded tensors that a trace gives, excerpts by the tensor's name."""
    plain = {name.split("#")[0] for name in names}
    return {name for name in plain if not any(part in name for part in left_out)}


MODELS = ["rtdetr_r18vd", "detr_r50", pytest.param("rtdetr_r50vd", marks=pytest.mark.slow)]


@pytest.mark.parametrize("model", MODELS)
def test_inference(model: str, unidet, weights, reference: Path, tmp_path: Path) -> None:
    """The recording is the input too: images, sizes, and the order of equally good queries."""
    path, out = recorded(reference, f"{model}_eval"), tmp_path / "out.npz"
    files = ("--weights", weights(model), "--inputs", path, "--out", out)
    assert unidet("trace", model, *files) == 0
    rows = compare_files(out, path).rows
    beyond = {row.name: row.absolute for row in rows if not row.fits}
    if model == "rtdetr_r50vd":
        # The official code is 3e-3 from itself in float64 here, which the recording does not hold.
        assert beyond.pop("wide/pred_logits", 0) < 5 * 3e-3
        # Labels of pairs whose scores agree to the last bits.
        beyond = {name: off for name, off in beyond.items() if not name.startswith("eval/post/")}
    assert beyond == {}
    left_out = (*IMAGES, *NOT_TRACED)
    missing = wanted(list(np.load(path)), left_out) - {row.name.split("#")[0] for row in rows}
    assert missing == set()


TRAINED = [
    "rtdetr_r18vd",
    pytest.param("detr_r50", marks=pytest.mark.slow),
    pytest.param("rtdetr_r50vd", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("model", TRAINED)
def test_training(model: str, unidet, weights, reference: Path, tmp_path: Path) -> None:
    path, out = recorded(reference, f"{model}_train"), tmp_path / "out.npz"
    inputs = dict(np.load(path))
    if model == "detr_r50":  # the recorded step is on the padded images of inference
        images = np.load(recorded(reference, "detr_r50_eval"))
        inputs |= {name: images[name] for name in ("pad/img0_u8", "pad/img1_u8")}
    np.savez(tmp_path / "in.npz", **inputs)
    files = ("--weights", weights(model), "--inputs", tmp_path / "in.npz", "--out", out, "--train")
    head = "class_embed.bias" if model == "detr_r50" else "decoder.enc_score_head.bias"
    assert unidet("trace", model, *files, "--grads", head) == 0
    rows = {row.name: row for row in compare_files(out, path).rows}
    assert rows[f"t32/grad/{head}"].fits
    beyond = [row for row in rows.values() if not row.fits]
    assert [row.name for row in beyond if not any(part in row.name for part in DEEP)] == []
    limit = 1e-2 if model == "rtdetr_r50vd" else 2e-3
    relative = {row.name: row.relative for row in beyond if "pred_" not in row.name}
    assert {name: error for name, error in relative.items() if error > limit} == {}
    left_out = (*IMAGES, *NOT_TRACED)
    assert wanted(list(inputs), left_out) - {name.split("#")[0] for name in rows} == set()


def test_what_is_refused(unidet, weights, tmp_path: Path, capsys, reference: Path) -> None:
    files = ("--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz")
    ours = ("--weights", weights("rtdetr_r18vd"))
    np.savez(tmp_path / "in.npz", img_u8=np.zeros((1, 3, 100, 96), np.uint8))
    assert unidet("trace", "rtdetr_r18vd", *ours, *files) == 2
    assert "100 x 96 pixels, both must be multiples of 32" in capsys.readouterr().err
    np.savez(tmp_path / "in.npz", img_u8=np.zeros((1, 3, 96, 96), np.uint8))
    assert unidet("trace", "rtdetr_r18vd", *ours, *files, "--train") == 2
    assert "lacks t32/gt/boxes0" in capsys.readouterr().err
    assert unidet("trace", "rtdetr_r34vd", *ours, *files) == 2
    assert "fit" in capsys.readouterr().err
    boxes, labels = np.full((1, 4), 0.5, np.float32), np.array([80])
    arrays = {"t32/gt/boxes0": boxes, "t32/gt/labels0": labels}
    np.savez(tmp_path / "in.npz", img_u8=np.zeros((1, 3, 96, 96), np.uint8), **arrays)
    assert unidet("trace", "rtdetr_r18vd", *ours, *files, "--train") == 2
    assert "must be in 0 .. 79" in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()
