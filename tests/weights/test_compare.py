"""`unidet compare`: a table over the names that two files share, and an exit status."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commands import exit_status

from unidet.errors import UserError
from unidet.weights.compare import compare, compare_files, shared, table

run = partial(exit_status, "compare")


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


def test_a_file_is_equal_to_itself(files, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = files({"a": np.ones(3)}, {"a": np.ones(3)})
    assert exit_status("compare", first, first) == 0
    assert f"note: {first} and {first} are one file" in capsys.readouterr().err
    exit_status("compare", first, second)
    assert "one file" not in capsys.readouterr().err


def test_what_one_file_lacks_is_a_difference(files, capsys: pytest.CaptureFixture[str]) -> None:
    """Excerpts of a tensor that the other file holds whole are not lacking."""
    whole = np.arange(6.0)
    ours = {"a": whole, "w": whole}
    theirs = {"a": whole, "w#first2": whole[:2], "w#shape": np.array([6]), "b": whole, "c": whole}
    first, second = files(ours, theirs)
    assert run(first, second) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == ["3 compared, 0 beyond tolerance", f"2 in {second} alone: b, c"]
    assert run(second, first) == 1
    assert run(first, second, "--common") == 0
    assert run(first, second, "--only", "a", "w*") == 0
    assert run(first, second, "--only", "[ac]") == 1
    assert run(*files(ours, theirs | {"a": -whole}), "--common") == 1


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
    excerpts = {"w#first4": np.arange(4.0), "w#norm": np.asarray(np.sqrt(55.0)), "w#shape": [2, 3]}
    excerpts = {name: np.asarray(value) for name, value in excerpts.items()}
    for ours, theirs in (({"v": whole, "w": whole}, excerpts), (excerpts, {"w": whole})):
        pairs = shared(ours, theirs)
        assert list(pairs) == ["w#first4", "w#norm", "w#shape"]
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


def test_rows_listed_by_class_are_compared_by_score() -> None:
    """One box more in class 0, one less in class 1: the others stay beside each other."""
    theirs = np.array([[0, 0, 9, 9, 0.9, 0], [1, 1, 5, 5, 0.8, 1], [2, 2, 7, 7, 0.3, 1]])
    ours = np.array([[0, 0, 9, 9, 0.9, 0], [3, 3, 4, 4, 0.3, 0], [1, 1, 5, 5, 0.8, 1]])
    row = compare("detections", ours, theirs)
    assert (row.absolute, row.fits) == (3, False)
    assert compare("detections", theirs[[1, 0, 2]], theirs).fits


def test_default_tolerances_by_name() -> None:
    whole = np.array([8.0, 100.0])
    for name, beyond in (
        ("p3", 1.1e-2),
        ("loss/total", 1.1e-3),
        ("roi_tgt/bbox_targets", 1.1e-3),
        ("samp_pos_gt", 1.1e-3),
    ):
        assert not compare(name, np.add(whole, [beyond, 0]), whole).fits
        assert compare(name, np.add(whole, [beyond * 0.8, 0]), whole).fits
        assert compare(name, np.add(whole, [beyond, 0]), whole, rtol=0.1).fits
        assert compare(name, np.add(whole, [beyond, 0]), whole, atol=0.1).fits


def test_detections_by_pixels_and_scores() -> None:
    rows = np.array([[0, 0, 900, 900, 0.9, 3], [1, 1, 500, 500, 0.5, 4]])
    for change, fits in (
        ([0, 0, 0.009, 0, 0, 0], True),
        ([0, 0, 0.011, 0, 0, 0], False),
        ([0, 0, 0, 0, 0.9e-5, 0], True),
        ([0, 0, 0, 0, 1.1e-5, 0], False),
        ([0, 0, 0, 0, 0, 1], False),
    ):
        assert compare("detections", np.add(rows, [change, [0] * 6]), rows).fits == fits, change


def test_proposals_by_the_size_of_the_image() -> None:
    """0.01 pixel, or 5e-5 of 900 where that is more."""
    rows = np.array([[0, 0, 900, 100, 0.9], [1, 1, 500, 500, 0.5]])
    for change, fits in (([0, 0.044, 0, 0, 0], True), ([0, 0.046, 0, 0, 0], False)):
        assert compare("test_proposals", np.add(rows, [change, [0] * 5]), rows).fits == fits
    small = np.array([[0, 0, 90, 100, 0.9]])
    assert compare("train_proposals", np.add(small, [0, 0.009, 0, 0, 0]), small).fits


def test_gradients_by_the_norm_of_the_whole(files) -> None:
    theirs = np.array([3.0, 0.0, 0.0, 4.0])
    ours = np.add(theirs, [0.003, 0, 0, 0.0039])
    row = compare("grad/w", ours, theirs)
    assert row.absolute == pytest.approx(0.0039)
    assert row.relative == pytest.approx(np.hypot(0.003, 0.0039) / 5)
    assert row.fits
    assert not compare("grad/w", np.add(theirs, [0.003, 0.003, 0.003, 0.003]), theirs).fits
    excerpt = {"grad/w#first1": theirs[:1], "grad/w#norm": np.asarray(5.0)}
    rows = compare_files(*files({"grad/w": np.add(theirs, [0.004, 0, 0, 0])}, excerpt)).rows
    assert [row.name for row in rows] == ["grad/w#first1", "grad/w#norm"]
    assert rows[0].relative == pytest.approx(0.004 / 5)
    assert rows[0].fits
    assert compare("grad/w", np.zeros(3), np.zeros(3)).fits


def test_what_follows_the_proposals_follows_their_order(files) -> None:
    proposals = np.array([[0, 0, 9, 9, 0.9], [1, 1, 5, 5, 0.5], [2, 2, 7, 7, 0.5]])
    scores = np.array([[1.0], [2.0], [3.0]])
    theirs = {"test_proposals": proposals, "test_cls": scores, "other": scores}
    swapped = {name: array[[0, 2, 1]] for name, array in theirs.items()}
    fits = {row.name: row.fits for row in compare_files(*files(swapped, theirs)).rows}
    assert fits == {"test_proposals": True, "test_cls": True, "other": False}
    apart = theirs | {"test_proposals": proposals - [[0] * 5, [0] * 5, [0, 0, 0, 0, 0.1]]}
    fits = {row.name: row.fits for row in compare_files(*files(swapped, apart)).rows}
    assert fits == {"test_proposals": False, "test_cls": False, "other": False}


def test_whole_checkpoints_compare_too(tmp_path: Path) -> None:
    plain = Path(__file__).parent / "checkpoints/plain.pth"
    comparison = compare_files(plain, plain, rtol=0, atol=0)
    assert comparison.rows
    assert comparison.fits()
    with pytest.raises(UserError, match="no name in common"):
        compare_files(plain, plain, rtol=0, atol=0, only=["nowhere"])
    assert len(table(comparison)) == len(comparison.rows) + 4


def test_the_end_of_a_name_decides_how_a_tensor_is_compared() -> None:
    loss = compare("A/loss/total", np.array(1.00002), np.array(1.0))
    gradient = compare("A/grad/weight", np.array([3.0, 4.004]), np.array([3.0, 4.0]))
    assert (loss.fits, gradient.fits) == (False, True)
    assert gradient.relative == pytest.approx(0.004 / 5)


def test_labels_follow_boxes_whose_scores_tie(files) -> None:
    rows = np.array([[0, 0, 9, 9, 0.5], [5, 5, 9, 9, 0.5], [1, 1, 2, 2, 0.1]])
    labels = np.array([3, 1, 2])
    first = {"det0_boxes_scores": rows, "det0_labels": labels}
    swapped = {name: value[[1, 0, 2]] for name, value in first.items()}
    assert all(row.fits for row in compare_files(*files(swapped, first)).rows)
    assert not all(
        row.fits for row in compare_files(*files(swapped | {"det0_labels": labels}, first)).rows
    )


def test_what_float32_itself_is_off_decides_where_it_is_recorded(files) -> None:
    """The recording is 0.002 from float64, queries brought into one order: 0.01 is allowed."""
    exact = np.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    recorded = exact[:, [2, 0, 1]] + np.array([[[0.0, 0.002], [0.0, 0.0], [0.001, 0.0]]])
    second = {
        "eval/pred_logits": recorded,
        "eval/f64/pred_logits": exact,
        "eval/f64/topk_ind": np.array([[10, 20, 30]]),
        "eval/decoder/topk_ind": np.array([[30, 10, 20]]),
    }
    for offset, fits in ((0.0099, True), (0.0101, False)):
        (row,) = compare_files(*files({"eval/pred_logits": recorded + offset}, second)).rows
        assert row.fits == fits
    (row,) = compare_files(*files({"eval/pred_logits": recorded + 0.02}, second), atol=0.03).rows
    assert row.fits
    unordered = {name: second[name] for name in ("eval/pred_logits", "eval/f64/pred_logits")}
    (row,) = compare_files(*files({"eval/pred_logits": recorded + 0.02}, unordered)).rows
    assert row.fits


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("eval/backbone/c5", 2e-5),
        ("eval/encoder/s8", 5e-5),
        ("eval/decoder/enc_max_score", 5e-5),
        ("eval/decoder/layer5_out", 1e-3),
        ("wide/pred_boxes", 1e-3),
        ("t32/enc_max_score", 1e-4),
    ],
)
def test_tensor_groups_of_transformers(name: str, allowed: float) -> None:
    value = np.array([100.0])
    assert compare(name, value * (1 + 0.9 * allowed), value).fits
    assert not compare(name, value * (1 + 1.2 * allowed), value).fits


def test_every_pattern_must_match(files) -> None:
    plain = files({"a": np.ones(1)}, {"a": np.ones(1)})
    with pytest.raises(UserError, match=r"no name in common that matches typo\*$"):
        compare_files(*plain, only=["a", "typo*"])


@pytest.mark.parametrize(
    ("ours", "theirs", "fits"),
    [
        ([70000, 3], [70000, 3], True),
        ([70000, 3], [70001, 3], False),
        ([2**53], [2**53 + 1], False),
        (["a", "b"], ["a", "b"], True),
        ([1 + 2j], [1 + 3j], False),
    ],
)
def test_what_is_no_real_number_is_equal_or_not(
    files, ours: list, theirs: list, fits: bool
) -> None:
    (row,) = compare_files(*files({"x": np.array(ours)}, {"x": np.array(theirs)})).rows
    assert row.fits is fits


def test_an_excerpt_of_more_than_any_tensor_has_is_none() -> None:
    """Python converts no number of so many digits."""
    assert not shared({"a": np.ones(3)}, {f"a#first{'9' * 4500}": np.ones(3)})
