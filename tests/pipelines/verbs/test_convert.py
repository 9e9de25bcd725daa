"""`unidet convert`: official files to ours and back, bit by bit; bad ones in one line, exit 2."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commands import complaint_of, exit_status

from unidet.weights.layouts import registry
from unidet.weights.layouts.layer_shapes import batch_norm, convolution, linear
from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.registry import layout_named, open_weights, write_ours
from unidet.weights.read import read_checkpoint
from unidet.weights.write import write_torch

run = partial(exit_status, "convert")
refused = partial(complaint_of, "convert")


def released_shapes() -> dict:
    return convolution("body.conv", 2, 3, 1) | batch_norm("body.bn", 2)


def converted_shapes() -> dict:
    return convolution("net.conv", 2, 3, 1) | batch_norm("net.bn", 2)


SMALL = Layout(
    name="small",
    network="tiny",
    summary="a layer and a vocabulary",
    shapes=lambda: linear("head.box", 4, 2),
    renames=((r"^head\.box\.", "regressor."),),
    vocabulary="head.words",
    embedding=2,
)
RELEASED = Layout(
    name="released",
    network="other",
    summary="as released",
    shapes=released_shapes,
    renames=((r"^body\.", "trunk."),),
    kept=("teacher.*",),
)
CONVERTED = Layout(
    name="converted",
    network="other",
    summary="as others read it",
    shapes=converted_shapes,
    renames=((r"^net\.", "trunk."),),
)


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Three small layouts in place of the registry's; gives the folder to work in."""
    monkeypatch.setattr(registry, "LAYOUTS", (SMALL, RELEASED, CONVERTED))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small() -> dict[str, np.ndarray]:
    return {
        "head.box.weight": np.arange(8, dtype=np.float16).reshape(4, 2),
        "head.box.bias": np.array([1, 2, 3, 4], np.float32),
        "head.words": np.array([[1, 2, 3, 0], [4, 5, 6, 0]], np.float32),
    }


def released() -> dict[str, np.ndarray]:
    return {
        "body.conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1),
        **{
            f"body.bn.{leaf}": np.full(2, value, np.float32)
            for value, leaf in enumerate(("weight", "bias", "running_mean", "running_var"))
        },
        "body.bn.num_batches_tracked": np.array(9),
        "teacher.weight": np.ones(3, np.float32),
    }


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


@pytest.mark.parametrize("middle", ["x.safetensors", "x.pkl"])
@pytest.mark.parametrize("official", [small(), released()], ids=["small", "released"])
def test_there_and_back(official: dict, middle: str, layouts: Path) -> None:
    write_torch("official.pth", official)
    assert run("official.pth", middle) == 0
    assert run(middle, "back.pth") == 0
    assert_same(read_checkpoint("back.pth"), official)
    assert Path("back.pth").read_bytes() == Path("official.pth").read_bytes()


def test_what_it_says(layouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_torch("a.pth", small())
    assert run("a.pth", "a.safetensors") == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.pth: small (a layer and a vocabulary)",
        "a.safetensors: 3 arrays for our tiny, vocabularies of 3 names",
    ]
    assert run("a.safetensors", "b.pt", "--to", "torch") == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.safetensors: small (a layer and a vocabulary)",
        "b.pt: 3 arrays for small, vocabularies of 3 names",
    ]


def test_names_of_classes_go_into_files_of_ours(
    layouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_torch("a.pth", small())
    write_ours("a.safetensors", replace(open_weights("a.pth"), classes=("cat", "dog")))
    assert run("a.safetensors", "b.safetensors") == 0
    assert open_weights("b.safetensors").classes == ("cat", "dog")
    capsys.readouterr()
    assert run("b.safetensors", "c.pth") == 0
    left_out = "left out: the names of its 2 classes, which only .safetensors holds"
    assert left_out in capsys.readouterr().out.splitlines()


def test_it_says_which_names_of_wrappers_it_took_off(
    layouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_torch("a.pth", {f"module.{name}": array for name, array in small().items()})
    assert run("a.pth", "a.safetensors") == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said == "a.pth: small (a layer and a vocabulary), its names without module."


@pytest.mark.parametrize("source", ["released.pth", "ours.safetensors"])
def test_from_one_official_layout_to_another(
    source: str, layouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_torch("released.pth", released())
    assert run("released.pth", "ours.safetensors") == 0
    capsys.readouterr()
    assert run(source, "converted.pth", "--layout", "converted") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{source}: released (as released)",
        "left out, as it has no place there: 1 arrays (teacher.weight)",
        "converted.pth: 6 arrays for converted",
    ]
    expected = {
        name.replace("body.", "net."): array
        for name, array in released().items()
        if name.startswith("body.")
    }
    assert_same(read_checkpoint("converted.pth"), expected)


def test_a_layout_of_another_network(layouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_torch("w.pth", small())
    assert run("w.pth", "w.safetensors") == 0
    said = refused(capsys, "w.pth", "x.pth", "--layout", "converted")
    assert "w.pth: fits none of released, converted, and most of its names are of none" in said
    said = refused(capsys, "w.safetensors", "x.pth", "--layout", "converted")
    assert "w.safetensors: holds weights of tiny, not of other" in said


def test_what_does_not_fit(layouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = released()
    del wrong["body.bn.bias"]
    write_torch("w.pth", wrong | {"extra": np.zeros(1)})
    complaint = refused(capsys, "w.pth", "x.safetensors")
    assert "w.pth: fits no layout; nearest is released (official names): 1 missing" in complaint
    assert "(body.bn.bias); 1 unexpected (extra); docs/convert.md lists all layouts" in complaint
    write_torch("w.pth", released() | {"body.bn.bias": np.zeros(5, np.float32)})
    assert "1 of another shape (body.bn.bias 5, not 2)" in refused(capsys, "w.pth", "x.pkl")
    write_torch("w.pth", released() | {"body.bn.bias": np.array([1, np.nan], np.float32)})
    assert "w.pth: holds NaN or infinite values" in refused(capsys, "w.pth", "x.pkl")
    write_torch("w.pth", small())
    assert "small, released, converted" in refused(capsys, "w.pth", "x.pkl", "--layout", "smal")
    assert "does not fit released" in refused(capsys, "w.pth", "x.pkl", "--layout", "released")


def test_damaged_and_hostile_files(layouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_torch("w.pth", small())
    Path("torn.pth").write_bytes(Path("w.pth").read_bytes()[:-100])
    assert "torn.pth is truncated" in refused(capsys, "torn.pth", "x.safetensors")
    Path("hostile.pth").write_bytes(pickle.dumps(print, 2))
    complaint = refused(capsys, "hostile.pth", "x.safetensors")
    assert "hostile.pth: refused: it wants to call __builtin__.print" in complaint
    assert "no checkpoint at absent.pth" in refused(capsys, "absent.pth", "x.safetensors")


def test_destinations(layouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_torch("w.pth", small())
    assert "x.npz: its suffix must be one of --to ours: .safetensors or .pkl; --to torch: .pth" in (
        refused(capsys, "w.pth", "x.npz")
    )
    assert "one of --to ours: .safetensors or .pkl\n" in refused(
        capsys, "w.pth", "x.pth", "--to", "ours"
    )
    assert "no folder absent" in refused(capsys, "w.pth", "absent/x.pth")
    assert "w.pth: is w.pth itself, which is read" in refused(capsys, "w.pth", "./w.pth")
    Path("folder.pth").mkdir()
    assert "folder.pth: is a folder" in refused(capsys, "w.pth", "folder.pth")


def test_no_jittor_is_needed(tmp_path: Path) -> None:
    layout = layout_named("openai_clip_rn50x4_text")
    arrays = {name: np.zeros(shape, np.float16) for name, shape in layout.expected.items()}
    write_torch(tmp_path / "x.pth", arrays)
    script = "import sys; sys.modules['jittor'] = None; from unidet.cli import main; main()"
    command = [sys.executable, "-c", script, "convert", "x.pth", "y.safetensors"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert open_weights(tmp_path / "y.safetensors").layout is layout
