"""CLIP's encoders at full size against recordings of a PyTorch CLIP (tests/models/clip)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.pipelines.traces.inputs import Inputs
from unidet.weights.compare import compare_files
from unidet.weights.layouts import registry
from unidet.weights.layouts.registry import layout_named
from unidet.weights.write import write_torch

HERE = Path(__file__).parents[2] / "models/clip"


@pytest.fixture(scope="module")
def record(load_file: Callable[[Path], ModuleType]) -> ModuleType:
    return load_file(HERE / "record_values.py")


@pytest.fixture(scope="module")
def weights(record: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OpenAI's state dict with the weights of the recordings, as a .pth."""
    path = tmp_path_factory.mktemp("clip") / "RN50.pth"
    shapes = layout_named("openai_clip_rn50").expected
    arrays = {
        name: record.weight(name, shape) if shape else np.zeros(1, np.float32)
        for name, shape in shapes.items()
        if "num_batches" not in name
    }
    write_torch(path, arrays | {"logit_scale": np.array(4.6, np.float32)})
    return path


def test_text(unidet, record: ModuleType, weights: Path, tmp_path: Path) -> None:
    out, expected = tmp_path / "out.npz", tmp_path / "recorded.npz"
    with np.load(HERE / "values.npz") as arrays:
        np.savez(expected, text_features=arrays["full/text"])
    np.savez(tmp_path / "in.npz", tokens=record.tokens(record.FULL))
    files = ("--weights", weights, "--inputs", tmp_path / "in.npz", "--out", out)
    assert unidet("trace", "clip_rn50_text", *files) == 0
    (row,) = compare_files(out, expected, rtol=1e-4, atol=0).rows
    assert row.fits
    with np.load(out) as arrays:
        assert arrays["transformer.resblocks.11"].shape == (3, 77, 512)


def test_image(unidet, record: ModuleType, weights: Path, tmp_path: Path) -> None:
    out, expected = tmp_path / "out.npz", tmp_path / "recorded.npz"
    with np.load(HERE / "values.npz") as arrays:
        np.savez(expected, image_features=arrays["full/image"])
    np.savez(tmp_path / "in.npz", img=record.images(record.FULL))
    files = ("--weights", weights, "--inputs", tmp_path / "in.npz", "--out", out)
    assert unidet("trace", "clip_rn50_image", *files) == 0
    (row,) = compare_files(out, expected, rtol=1e-4, atol=0).rows
    assert row.fits
    with np.load(out) as arrays:
        assert arrays["layer4"].shape == (2, 2048, 7, 7)


@pytest.mark.parametrize(
    ("side", "name", "array", "complaint"),
    [
        ("text", "tokens", np.zeros((1, 77), int), "must hold the end mark 49407"),
        ("text", "tokens", np.full((1, 77), 49408), "numbers 0 .. 49407"),
        ("text", "tokens", np.zeros((1, 16), int), r"must be \(N, 77\)"),
        ("image", "img", np.zeros((1, 3, 288, 288)), "sides of 288, this CLIP takes 224"),
    ],
)
def test_what_the_encoders_refuse(side: str, name: str, array: np.ndarray, complaint: str) -> None:
    module = import_module(f"unidet.pipelines.traces.clip_{side}")
    network = SimpleNamespace(attnpool=SimpleNamespace(size=7))
    with pytest.raises(UserError, match=f"in.npz: .*{complaint}"):
        module.forward(network, Inputs({name: array}, "in.npz"))


def test_encoders_cannot_be_trained(
    unidet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "open_weights", lambda *path, **network: None)
    np.savez(tmp_path / "in.npz", img=np.zeros((1, 3, 224, 224)))
    (tmp_path / "w").touch()
    files = ("--weights", tmp_path / "w", "--inputs", tmp_path / "in.npz")
    arguments = (*files, "--out", tmp_path / "o.npz", "--train")
    assert unidet("trace", "clip_rn50_image", *arguments) == 2
    assert "cannot be trained" in capsys.readouterr().err
