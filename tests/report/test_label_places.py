"""Places of labels: free ones, inside the image, near their boxes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from unidet.report.label_places import gaps, place_labels


def common(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(np.maximum(sides, 0)))


def places(boxes: list[list[float]], size: tuple[int, int] = (60, 16)) -> np.ndarray:
    sizes = np.tile(np.array(size, float), (len(boxes), 1))
    return place_labels(np.array(boxes, float).reshape(-1, 4), sizes, (640, 480))


def test_alone_a_label_stands_on_its_box() -> None:
    assert places([[100, 100, 200, 200]]).tolist() == [[100, 84, 160, 100]]


def test_at_the_top_it_stands_below() -> None:
    assert places([[100, 0, 200, 200]]).tolist() == [[100, 200, 160, 216]]


def test_a_box_that_fills_the_picture_has_it_inside() -> None:
    assert places([[0, 0, 640, 480]]).tolist() == [[0, 0, 60, 16]]


def test_it_does_not_hide_a_small_object_above() -> None:
    boxes = [[100, 100, 300, 300], [100, 80, 120, 98]]
    first, second = places(boxes)
    assert common(first, np.array(boxes[1])) == 0
    assert common(first, second) == 0
    assert gaps(first[None], np.array(boxes[0], float))[0] == 0


@pytest.mark.parametrize("count", [2, 5, 8])
def test_boxes_at_one_place_have_labels_apart(count: int) -> None:
    labels = places([[200, 200, 320, 320]] * count)
    assert max(common(a, b) for a, b in combinations(labels, 2)) == 0


def test_thirty_objects_in_a_row_of_small_boxes() -> None:
    """20-pixel boxes 21 pixels apart, with labels three times as wide: none hides another."""
    boxes = [[5 + 21 * column, 200, 25 + 21 * column, 220] for column in range(30)]
    labels = places(boxes)
    hidden = sum(common(a, b) for a, b in combinations(labels, 2))
    assert hidden < 0.05 * 30 * 60 * 16
    assert (labels >= 0).all()
    assert (labels[:, 2] <= 640).all()
    assert (labels[:, 3] <= 480).all()


def test_boxes_without_labels_take_no_place() -> None:
    boxes = np.array([[100, 100, 200, 200], [100, 100, 200, 200]], float)
    sizes = np.array([[0, 0], [60, 16]], float)
    assert place_labels(boxes, sizes, (640, 480))[1].tolist() == [100, 84, 160, 100]
    assert place_labels(boxes[:0], sizes[:0], (640, 480)).shape == (0, 4)


def test_a_label_larger_than_the_picture_begins_in_it() -> None:
    assert places([[0, 0, 640, 480]], (900, 16))[0, :2].tolist() == [0, 0]
