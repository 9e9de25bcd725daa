"""`unidet trace` and `unidet compare` against tensors recorded from the official code.

The tolerances are those of `compare`, which issue them by name; every recorded name must be there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.weights.compare import compare_files

STAGE2 = {"zs_weights": "coco_clip_a+cname_rn50_manyprompt.npy"}
INPUTS = {"img", "gt", "gt_labels", "proposals"}
DRAWN = {"fed_sampled", "samp_pos_bboxes", "samp_neg_bboxes", "samp_pos_gt_labels"}


def compared(traced: Path, recorded: Path) -> set[str]:
    rows = compare_files(traced, recorded).rows
    assert [row for row in rows if not row.fits] == []
    return {row.name for row in rows}


def parameters(recorded: dict[str, np.ndarray]) -> list[str]:
    gradients = (name for name in recorded if name.startswith("grad/"))
    return sorted({name.removeprefix("grad/").split("#")[0] for name in gradients})


def of_inference(names: set[str] | dict) -> set[str]:
    training = ("loss/", "grad/", "rpn_tgt/", "roi_tgt/", "train_", "samp_", "fed_")
    return {name for name in names if not name.startswith(training)} - INPUTS


def test_stage_1_inference(unidet, official_weights, golden, reference: Path, tmp_path) -> None:
    """From the image alone: features, head outputs, 4,125 proposals, 1,500 detections."""
    recorded = golden("stage1_cln")
    np.savez(tmp_path / "in.npz", img=recorded["img"], scale_factor=np.ones(4, np.float32))
    weights, out = official_weights("keys_stage1.txt"), tmp_path / "out.npz"
    files = ("--weights", weights, "--inputs", tmp_path / "in.npz", "--out", out)
    assert unidet("trace", "cln_r50_fpn", *files) == 0
    path = reference / "reference/goldens/stage1_cln.npz"
    assert unidet("compare", out, path, "--common") == 0
    assert compared(out, path) == of_inference(recorded)
    # Boxes come back in the original frame.
    np.savez(tmp_path / "in.npz", img=recorded["img"], scale_factor=[2, 4, 2, 4])
    assert unidet("trace", "cln_r50_fpn", *files) == 0
    with np.load(out) as arrays:
        rescaled = arrays["detections"] * np.array([2, 4, 2, 4, 1], np.float32)
    same = np.abs(rescaled[:, 4] - recorded["detections"][:, 4]) < 1e-5
    assert same.mean() > 0.99


def test_stage_1_training(unidet, official_weights, golden, reference: Path, tmp_path) -> None:
    """Targets, samples, losses and gradients, with regions drawn from the recorded proposals, of
    weights that were converted to a file of ours."""
    recorded = golden("stage1_cln")
    taken = {name: recorded[name] for name in ("img", "gt", "train_proposals")}
    np.savez(tmp_path / "in.npz", **taken)
    weights, out = tmp_path / "ours.safetensors", tmp_path / "out.npz"
    assert unidet("convert", official_weights("keys_stage1.txt"), weights) == 0
    files = ("--weights", weights, "--inputs", tmp_path / "in.npz", "--out", out)
    names = parameters(recorded)
    assert unidet("trace", "cln_r50_fpn", *files, "--train", "--grads", *names) == 0
    path = reference / "reference/goldens/stage1_cln.npz"
    assert unidet("compare", out, path, "--common") == 0
    tested = {name for name in recorded if name.startswith("test_")} | {"detections"}
    assert compared(out, path) == set(recorded) - tested - INPUTS


def test_a_plain_rpn(unidet, official_weights, golden, reference: Path, tmp_path) -> None:
    """Inference and a training step, on the whole recording: its proposals go to the RoI stage,
    its random numbers choose anchors and regions."""
    recorded = golden("stage1_rpn")
    path = reference / "reference/goldens/stage1_rpn.npz"
    out = tmp_path / "out.npz"
    weights = official_weights("keys_stage1_rpn.txt")
    files = ("--weights", weights, "--inputs", path, "--out", out)
    assert unidet("trace", "rpn_r50_fpn", *files) == 0
    assert unidet("compare", out, path, "--common") == 0
    assert compared(out, path) == of_inference(recorded)
    ours = tmp_path / "ours.safetensors"
    assert unidet("convert", weights, ours) == 0
    files = ("--weights", ours, "--inputs", path, "--out", out)
    names = parameters(recorded)
    assert unidet("trace", "rpn_r50_fpn", *files, "--train", "--grads", *names) == 0
    assert unidet("compare", out, path, "--common") == 0
    tested = {name for name in recorded if name.startswith("test_")} | {"detections"}
    assert compared(out, path) == set(recorded) - tested - INPUTS


def test_broken_weights_inputs_and_names(
    unidet, official_weights, golden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit status 2, nothing written."""
    good = official_weights("keys_stage1.txt")
    with np.load(good) as arrays:
        weights = dict(arrays)
    name = "neck.fpn_convs.0.conv.weight"
    holes, rows = weights[name].copy(), weights[name][:8]
    holes[3, 2, 1, 0] = np.nan
    lacking = {key: array for key, array in weights.items() if key != name}
    np.savez(tmp_path / "nan.npz", **(weights | {name: holes}))
    np.savez(tmp_path / "rows.npz", **(weights | {name: rows}))
    np.savez(tmp_path / "lacking.npz", **lacking)
    image, truth = golden("stage1_cln")["img"], golden("stage1_cln")["gt"]
    np.savez(tmp_path / "in.npz", img=image[:, :, :64, :64], gt=truth)
    np.savez(tmp_path / "flat.npz", img=image[0])
    np.savez(tmp_path / "bare.npz", img=image[:, :, :64, :64])
    for weights_file, inputs, extra, complaint in (
        (tmp_path / "nan.npz", "in.npz", (), "NaN or infinite"),
        (tmp_path / "rows.npz", "in.npz", (), f"{name} 8x256x3x3, not 256x256x3x3"),
        (tmp_path / "lacking.npz", "in.npz", (), f"1 missing ({name})"),
        (good, "flat.npz", (), "img has shape (3, 320, 320), must be (N, 3, H, W)"),
        (good, "bare.npz", ("--train",), "lacks gt (G, 4); it holds img"),
        (good, "in.npz", ("--train", "--grads", "rpn_head.rpn_con.weight"), "did you mean rpn_h"),
    ):
        files = ("--weights", weights_file, "--inputs", tmp_path / inputs)
        out = tmp_path / "out.npz"
        assert unidet("trace", "cln_r50_fpn", *files, "--out", out, *extra) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1
        assert not out.exists()


@pytest.mark.slow
def test_stage_2_inference(unidet, official_weights, golden, reference: Path, tmp_path) -> None:
    recorded = golden("stage2_coco")
    np.savez(tmp_path / "in.npz", img=recorded["img"], proposals=recorded["proposals"])
    weights, out = official_weights("keys_stage2_coco.txt", **STAGE2), tmp_path / "out.npz"
    files = ("--weights", weights, "--inputs", tmp_path / "in.npz", "--out", out)
    assert unidet("trace", "unidetector_r50_c4", *files) == 0
    path = reference / "reference/goldens/stage2_coco.npz"
    assert unidet("compare", out, path, "--common") == 0
    assert compared(out, path) == of_inference(recorded)


@pytest.mark.slow
def test_stage_2_training(unidet, official_weights, golden, reference: Path, tmp_path) -> None:
    recorded = golden("stage2_coco")
    taken = {name: recorded[name] for name in ("img", "fed_sampled")}
    taken |= {name: recorded[name] for name in recorded if name.startswith("roi_tgt/")}
    np.savez(tmp_path / "in.npz", rois=recorded["train_rois"], **taken)
    weights, out = official_weights("keys_stage2_coco.txt", **STAGE2), tmp_path / "out.npz"
    files = ("--weights", weights, "--inputs", tmp_path / "in.npz", "--out", out)
    names = parameters(recorded)
    assert unidet("trace", "unidetector_r50_c4", *files, "--train", "--grads", *names) == 0
    path = reference / "reference/goldens/stage2_coco.npz"
    assert unidet("compare", out, path, "--common") == 0
    trained = {name for name in recorded if name.startswith(("loss/", "grad/", "train_"))}
    assert compared(out, path) == trained | {"c4"}


@pytest.mark.slow
def test_end_to_end(unidet, official_weights, golden, reference: Path, tmp_path) -> None:
    """Inference and a training step on the whole recording, whose proposals the RoI part takes."""
    recorded = golden("end2end_coco")
    path = reference / "reference/goldens/end2end_coco.npz"
    weights, out = official_weights("keys_end2end_coco.txt", **STAGE2), tmp_path / "out.npz"
    files = ("--weights", weights, "--inputs", path, "--out", out)
    assert unidet("trace", "unidetector_r50_c4_end2end", *files) == 0
    assert unidet("compare", out, path, "--common") == 0
    assert compared(out, path) == of_inference(recorded)
    names = parameters(recorded)
    assert unidet("trace", "unidetector_r50_c4_end2end", *files, "--train", "--grads", *names) == 0
    assert unidet("compare", out, path, "--common") == 0
    tested = {name for name in recorded if name.startswith("test_")} | {"detections"}
    assert compared(out, path) == set(recorded) - tested - INPUTS
