"""Any file under our names: recognized, or refused in one line that says what comes nearest."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.weights.layouts import registry
from unidet.weights.layouts.layout import Layout, to_ours
from unidet.weights.layouts.registry import LAYOUTS, open_weights, recognize, write_ours
from unidet.weights.prefixes import under
from unidet.weights.write import write_safetensors, write_torch


def values(shapes: dict[str, tuple[int | None, ...]]) -> dict[str, np.ndarray]:
    """Arrays of these shapes, 3 for any length; no two names hold the same numbers."""
    made = {}
    for name, shape in shapes.items():
        stream = np.random.RandomState(zlib.crc32(name.encode()))
        size = tuple(3 if length is None else length for length in shape)
        made[name] = stream.standard_normal(size).astype(np.float32)
    return made


@pytest.fixture
def two(small: Layout, monkeypatch: pytest.MonkeyPatch) -> tuple[Layout, Layout]:
    """The registry holds two layouts only, with the same names and different shapes."""

    def wide() -> dict:
        return dict(small.shapes()) | {"body.conv1.weight": (2, 3, 3, 3)}

    other = Layout(**{**vars_of(small), "name": "wide", "network": "wide_tiny", "shapes": wide})
    monkeypatch.setattr(registry, "LAYOUTS", (small, other))
    return small, other


def vars_of(layout: Layout) -> dict:
    return {name: getattr(layout, name) for name in layout.__dataclass_fields__}


def test_names_are_unique() -> None:
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_is_recognized_and_no_name_is_lost(layout: Layout) -> None:
    assert len(set(layout.our_names.values())) == len(layout.our_names)
    shapes = {
        name: tuple(3 if length is None else length for length in shape)
        for name, shape in layout.expected.items()
    }
    if layout.vocabulary:
        shapes[layout.vocabulary.format(0)] = (layout.embedding, 4)
    assert recognize(shapes, LAYOUTS).layout is layout


def test_equal_names_are_told_apart_by_shapes(two: tuple[Layout, Layout], tmp_path: Path) -> None:
    for layout in two:
        write_torch(tmp_path / "x.pth", values(dict(layout.expected)))
        assert open_weights(tmp_path / "x.pth").layout is layout


def test_a_file_of_ours_says_what_it_was(two: tuple[Layout, Layout], tmp_path: Path) -> None:
    _, wide = two
    weights = wide.from_official(values(dict(wide.expected)))
    write_ours(tmp_path / "x.safetensors", weights)
    opened = open_weights(tmp_path / "x.safetensors")
    assert opened.layout is wide
    assert to_ours(opened).keys() == to_ours(weights).keys()
    for name, array in to_ours(weights).items():
        np.testing.assert_array_equal(to_ours(opened)[name], array, strict=True)
    with pytest.raises(UserError, match=r"x\.safetensors: holds weights of wide_tiny, not of tiny"):
        open_weights(tmp_path / "x.safetensors", network="tiny")
    with pytest.raises(UserError, match=r"trunk\.conv1\.weight 2x3x3x3, not 2x3x1x1"):
        open_weights(tmp_path / "x.safetensors", layout="small")


def test_a_file_of_a_stage_is_told_by_our_names(two: tuple[Layout, Layout], tmp_path: Path) -> None:
    small, _ = two
    arrays = small.from_official(values(dict(small.expected))).arrays
    write_safetensors(tmp_path / "x.safetensors", arrays)
    assert open_weights(tmp_path / "x.safetensors").layout is small


def test_no_layout(two: tuple[Layout, Layout], tmp_path: Path) -> None:
    arrays = values(dict(two[0].expected))
    del arrays["body.bn1.bias"]
    write_torch(tmp_path / "x.pth", arrays | {"more": np.zeros(1)})
    with pytest.raises(UserError) as caught:
        open_weights(tmp_path / "x.pth")
    assert str(caught.value) == (
        f"{tmp_path / 'x.pth'}: fits no layout; nearest is small (official names): 1 missing "
        "(body.bn1.bias); 1 unexpected (more); docs/convert.md lists all layouts"
    )
    with pytest.raises(UserError, match=r"does not fit wide \(official names\): 1 missing"):
        open_weights(tmp_path / "x.pth", layout="wide")
    with pytest.raises(UserError, match=r"--layout: there is no 'big'; there are small, wide"):
        open_weights(tmp_path / "x.pth", layout="big")
    with pytest.raises(
        UserError, match=r"no layouts for 'huge'; there are some for tiny, wide_tiny"
    ):
        open_weights(tmp_path / "x.pth", network="huge")


@pytest.mark.parametrize(
    ("prefix", "removed"),
    [
        ("module.", ("module.",)),
        ("model._orig_mod.", ("_orig_mod.", "model.")),
        ("detector.", ("detector.",)),
    ],
)
def test_names_of_wrappers_go_where_the_rest_then_fits(
    prefix: str, removed: tuple[str, ...], two: tuple[Layout, Layout], tmp_path: Path
) -> None:
    official = values(dict(two[0].expected))
    write_torch(tmp_path / "x.pth", under(prefix, official))
    opened = open_weights(tmp_path / "x.pth")
    assert (opened.layout, opened.removed) == (two[0], removed)
    assert to_ours(opened).keys() == to_ours(two[0].from_official(official)).keys()
    del official["body.bn1.bias"]
    write_torch(tmp_path / "x.pth", under(prefix, official))
    with pytest.raises(UserError) as caught:
        open_weights(tmp_path / "x.pth")
    assert f"small (official names, without {' '.join(removed)}): 1 missing" in str(caught.value)


def test_the_nearest_layout_is_the_one_of_the_files_own_names() -> None:
    """Without `backbone.` the few names would be nearer to a smaller network."""
    shapes = {"backbone.conv1.0.weight": (24, 3, 3, 3), "backbone.conv1.1.bias": (24,)}
    with pytest.raises(UserError, match=r"nearest is nanodet_plus_m \(official names\): 537 miss"):
        recognize(shapes, LAYOUTS)


def test_a_teacher_and_a_student_are_not_chosen_from(
    two: tuple[Layout, Layout], tmp_path: Path
) -> None:
    official = values(dict(two[0].expected))
    for first, second in (("teacher.", "student."), ("modelTeacher.module.", "modelStudent.")):
        write_torch(tmp_path / "x.pth", under(first, official) | under(second, official))
        firsts = [name.partition(".")[0] + r"\." for name in (first, second)]
        with pytest.raises(UserError, match=f"networks below {' and '.join(firsts)}; save one"):
            open_weights(tmp_path / "x.pth")
    beside = {"necks.weight": np.zeros(3, np.float32)}
    write_torch(tmp_path / "x.pth", under("detector.", official) | beside)
    with pytest.raises(UserError, match=r"holds networks below detector\.; save one"):
        open_weights(tmp_path / "x.pth")


def test_what_training_alone_needs_is_passed_over(
    two: tuple[Layout, Layout], tmp_path: Path
) -> None:
    """As Lightning keeps the modules of a loss and of metrics beside the network's."""
    official = values(dict(two[0].expected))
    beside = {"criterion.empty_weight": np.zeros(3), "val_metric.sum": np.zeros(1)}
    write_torch(tmp_path / "x.pth", under("detector.", official) | beside)
    opened = open_weights(tmp_path / "x.pth")
    assert opened.layout == two[0]
    assert opened.removed == ("criterion.*", "val_metric.*", "detector.")


def test_shapes_of_neither(two: tuple[Layout, Layout], tmp_path: Path) -> None:
    arrays = values(dict(two[0].expected)) | {"body.conv1.weight": np.zeros((2, 3, 5, 5))}
    write_torch(tmp_path / "x.pth", arrays)
    with pytest.raises(UserError, match="fits the names of small, wide; choose one with --layout"):
        open_weights(tmp_path / "x.pth")
    with pytest.raises(
        UserError, match=r"1 of another shape \(body\.conv1\.weight 2x3x5x5, not 2x"
    ):
        open_weights(tmp_path / "x.pth", layout="small")
