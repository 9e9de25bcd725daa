"""Places labels of boxes so that they hide neither objects nor each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_LABEL_HIDDEN = 40.0  # cost of a label that is completely hidden by another
_OBJECT_HIDDEN = 6.0  # cost of an object that is completely hidden by a label
_AWAY = 0.25  # cost of a gap between a label and its box, per height of the label
_RANK = 0.02  # cost of each rank in the list of places at a box
_FREE = _RANK * 16  # upper limit of the cost of a place at the box that hides nothing
_STEPS = (0.0, 0.5, 1.0)  # positions along an edge, from its start to its end
_RINGS = 3  # maximum distance of a label from its box, in heights of the label
_PASSES = 2


def place_labels(
    boxes_xyxy: np.ndarray, sizes_wh: np.ndarray, picture_wh: tuple[int, int]
) -> np.ndarray:
    """(N, 4) rectangles of N labels, inside the image.

    Each label takes the cheapest of its places: above, below, inside the corners, beside, then
    further away. The cost counts hidden labels, hidden objects (by their hidden fraction) and
    distance. Labels of small objects have the fewest good places and choose first. If anything is
    hidden, all labels choose again, given the others.

    Args:
        boxes_xyxy: (N, 4) in pixels of the image.
        sizes_wh: (N, 2) width and height of each label in pixels; (0, 0) for a box without one.
        picture_wh: width and height of the image in pixels.
    """
    count = len(boxes_xyxy)
    places = np.zeros((count, 4))
    wanted = np.flatnonzero(sizes_wh[:, 0] > 0)
    order = wanted[np.argsort(_areas(boxes_xyxy[wanted]), kind="stable")]
    placed = np.zeros(count)
    # What a label may hide: labels, then objects; the weight is the cost per hidden pixel.
    rectangles = np.concatenate([places, boxes_xyxy])
    weights = np.concatenate([placed, _OBJECT_HIDDEN / _areas(boxes_xyxy).clip(1)])
    for _ in range(_PASSES):
        hidden = 0.0
        for row in order:
            placed[row] = 0
            weights[:count] = placed * (_LABEL_HIDDEN / max(sizes_wh[row].prod(), 1))
            for choices in _choices(boxes_xyxy[row], sizes_wh[row], picture_wh):
                costs = _costs(choices, boxes_xyxy[row], rectangles, weights)
                if costs.min() < _FREE:
                    break
            best = int(costs.argmin())
            places[row] = rectangles[row] = choices[best]
            placed[row] = 1
            hidden = max(hidden, costs[best])
        if hidden < _FREE:
            break
    return places


def _choices(box: np.ndarray, size: np.ndarray, picture_wh: Sequence[int]) -> Iterator[np.ndarray]:
    """(K, 4) rectangles at the box, preferred ones first; then these and others further away.

    All are inside the image.
    """
    # Python floats: arithmetic with numpy scalars is several times slower.
    (x1, y1, x2, y2), (width, height) = box.tolist(), size.tolist()
    along = [x1 + step * max(x2 - x1 - width, 0) for step in _STEPS]
    down = [y1 + step * max(y2 - y1 - height, 0) for step in _STEPS]
    corners = [(x, y1 - height) for x in along]
    corners += [(x, y2) for x in along]
    corners += [(x, y) for y in (y1, y2 - height) for x in (along[0], along[-1])]
    corners += [(x, y) for x in (x2, x1 - width) for y in down]
    corners += [(x2 - width, y) for y in (y1 - height, y2)]
    yield _inside(corners, size, picture_wh)
    for ring in range(1, _RINGS + 1):
        step = ring * height
        corners += [(x, y) for y in (y1 - height - step, y2 + step) for x in along]
        corners += [(x, y1 - height + way * step) for x in (x2, x1 - width) for way in (-1, 1)]
        corners += [(x, y) for x in (x2 + step, x1 - width - step) for y in down]
    yield _inside(corners, size, picture_wh)


def _inside(
    corners: Sequence[tuple[float, float]], size: np.ndarray, picture_wh: Sequence[int]
) -> np.ndarray:
    starts = np.array(corners).clip(0, np.maximum(np.array(picture_wh) - size, 0))
    return np.concatenate([starts, starts + size], axis=1)


def _costs(
    choices: np.ndarray, box: np.ndarray, rectangles: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(K,) cost of each choice for the label of a box.

    Args:
        rectangles: (R, 4) that the label may hide; hiding costs `weights` (R,) per pixel.
    """
    height = max(float(choices[0, 3] - choices[0, 1]), 1.0)
    return (
        _overlaps(choices, rectangles) @ weights
        + _AWAY / height * gaps(choices, box)
        + _RANK * np.arange(len(choices))
    )


def gaps(rectangles: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(K,) distance in pixels between each rectangle and the box; 0 if they touch."""
    before = box[:2] - rectangles[:, 2:]
    after = rectangles[:, :2] - box[2:]
    apart = np.maximum(before, after).clip(0)
    return np.hypot(apart[:, 0], apart[:, 1])


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) areas of the intersections."""
    widths = np.minimum(a[:, 2:3], b[:, 2]) - np.maximum(a[:, 0:1], b[:, 0])
    heights = np.minimum(a[:, 3:4], b[:, 3]) - np.maximum(a[:, 1:2], b[:, 1])
    return widths.clip(0) * heights.clip(0)


def _areas(boxes: np.ndarray) -> np.ndarray:
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(0)
    return sides[:, 0] * sides[:, 1]
