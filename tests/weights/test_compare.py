"""`unidet compare`: a table over the names that two files share, and an exit status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.cli import main
from unidet.errors import UserError
from unidet.weights.compare import compare, compare_files, shared, table


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["compare", *map(str, arguments)])
    return int(stop.value.code or 0)


@pytest.fixture
def files(tmp_path: Path):
    def write(first: dict, second: dict) -> tuple[Path, Path]:
        paths = (tmp_path / "first.npz", tmp_path / "second.npz")
        for path, arrays in zip(paths, (first, second), strict=True):
            np.savez(path, **arrays)
        return paths

    return write


def test_errors_by_hand() -> None:
    row = compare("x", np.array([1.0, 2.5]), np.array([1.0, -4.0]), rtol=1.0, atol=2.0)
    assert (row.absolute, row.relative, row.fits) == (6.5, 1.625, False)
    assert compare("x", np.array([1.0, 2.5]), np.array([1.0, -4.0]), rtol=1.0, atol=2.5).fits


def test_exit_status_and_table(files, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"a_rather_long_prefix.layer{index}.a.b.c.d.weight" for index in range(3)]
    good = {name: np.full((2, 3, 256, 16), index + 1.0) for index, name in enumerate(names)}
    bad = good | {names[1]: good[names[1]] + 1e-2, names[2]: np.ones((3, 2))}
    assert run(*files(good, good)) == 0
    assert "3 compared, 0 beyond" in capsys.readouterr().out
    assert run(*files(good, bad)) == 1
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert [line.count("<-first") for line in printed.splitlines()] == [0, 0, 0, 1, 0, 0, 0]
    assert "2x3x256x16 not 3x2" in printed
    assert run(*files(good, bad), "--rtol", "0.1", "--only", "*layer1*") == 0
    assert run(*files(good, bad), "--atol", "0.1", "--only", "*layer0*", "*layer1*") == 0


def test_nothing_shared_and_bad_files(
    files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = files({"a": np.ones(1)}, {"b": np.ones(1)})
    (tmp_path / "torn.npz").write_bytes(first.read_bytes()[:100])
    for arguments, part in (
        ((first, second), "no name in common"),
        ((first, first, "--only", "c*"), "no name in common that matches c*"),
        ((first, tmp_path / "absent.npz"), "absent.npz"),
        ((first, tmp_path / "torn.npz"), "torn.npz is truncated"),
    ):
        assert run(*arguments) == 2
        complaint = capsys.readouterr().err
        assert part in complaint
        assert complaint.count("\n") == 1


def test_excerpts_are_taken_of_whole_tensors() -> None:
    whole = np.arange(6, dtype=np.float32).reshape(2, 3)
    excerpts = {"w#first4": np.arange(4.0), "w#norm": np.asarray(np.sqrt(55.0))}
    for ours, theirs in (({"v": whole, "w": whole}, excerpts), (excerpts, {"w": whole})):
        pairs = shared(ours, theirs)
        assert list(pairs) == ["w#first4", "w#norm"]
        for mine, reference in pairs.values():
            np.testing.assert_allclose(mine, reference, rtol=1e-12)


def test_nan_equals_nan_alone() -> None:
    holes = np.array([np.nan, np.inf, 1.0])
    assert compare("x", holes, holes.copy(), 0, 0).fits
    assert not compare("x", holes, np.array([0.0, np.inf, 1.0]), 1, 1).fits
    assert not compare("x", holes, np.array([np.nan, -np.inf, 1.0]), 1, 1).fits


def test_empty_tensors_agree_and_zeros_have_no_relative_error() -> None:
    empty = np.zeros((0, 5), np.float32)
    assert compare("detections", empty, empty, 0, 0).fits
    row = compare("x", np.zeros(3), np.zeros(3), 0, 0)
    assert (row.absolute, row.relative, row.fits) == (0, 0, True)


def test_equal_scores_may_swap_and_others_not() -> None:
    rows = np.array([[0, 0, 9, 9, 0.9], [1, 1, 5, 5, 0.5], [2, 2, 7, 7, 0.5], [3, 3, 4, 4, 0.1]])
    assert compare("test/detections", rows[[0, 2, 1, 3]], rows, 0, 0).fits
    assert not compare("features", rows[[0, 2, 1, 3]], rows, 0, 0).fits
    assert not compare("detections", rows[[1, 0, 2, 3]], rows, 0, 0).fits
    twice = compare("detections", rows[[0, 1, 1, 3]], rows, 0, 0)
    assert twice.absolute == 2


def test_whole_checkpoints_compare_too(tmp_path: Path) -> None:
    plain = Path(__file__).parent / "checkpoints/plain.pth"
    rows = compare_files(plain, plain, rtol=0, atol=0)
    assert rows
    assert all(row.fits for row in rows)
    with pytest.raises(UserError, match="no name in common"):
        compare_files(plain, plain, rtol=0, atol=0, only=["nowhere"])
    assert len(table(rows)) == len(rows) + 4
