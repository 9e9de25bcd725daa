"""What a trace is given: names, shapes, finite numbers, each complaint in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.pipelines.traces.inputs import Inputs


def inputs(**arrays: np.ndarray) -> Inputs:
    return Inputs(arrays, "in.npz")


def test_numbers_come_as_the_networks_take_them() -> None:
    arrays = inputs(img=np.ones((1, 3, 4, 6), np.float64), ids=np.array([3], np.uint8))
    assert arrays.take("img", "N", 3, "H", "W").dtype == np.float32
    assert arrays.take("ids", "N").dtype == np.int64
    assert "img" in arrays
    assert "gt" not in arrays
    assert arrays.take_first(("labels", "ids"), "N").tolist() == [3]


def test_a_letter_is_one_length_throughout() -> None:
    arrays = inputs(rois=np.zeros((7, 5)), labels=np.zeros(7), scores=np.zeros(6))
    arrays.take("rois", "R", 5)
    arrays.take("labels", "R")
    with pytest.raises(UserError, match=r"in.npz: scores has shape \(6,\), must be \(R,\), R = 7"):
        arrays.take("scores", "R")


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((1, 4, 8, 8)), r"img has shape \(1, 4, 8, 8\), must be \(N, 3, H, W\)"),
        (np.zeros((3, 8, 8)), r"img has shape \(3, 8, 8\), must be \(N, 3, H, W\)"),
        (np.full((1, 3, 2, 2), np.nan), "img holds NaN or infinite values"),
        (np.array("a picture"), "img holds <U9, not numbers"),
    ],
)
def test_what_does_not_fit_is_refused(array: np.ndarray, complaint: str) -> None:
    with pytest.raises(UserError, match=f"in.npz: {complaint}"):
        inputs(img=array).take("img", "N", 3, "H", "W")


def test_a_missing_name_is_named_with_its_shape() -> None:
    with pytest.raises(UserError, match=r"lacks gt \(G, 4\); it holds img"):
        inputs(img=np.zeros(1)).take("gt", "G", 4)


def test_a_file_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", img=np.zeros((1, 3, 2, 2)))
    arrays = Inputs.read(tmp_path / "in.npz")
    assert arrays.take("img", "N", 3, "H", "W").shape == (1, 3, 2, 2)
    with pytest.raises(UserError, match=r"in.npz: lacks gt"):
        arrays.take("gt", "G", 4)
