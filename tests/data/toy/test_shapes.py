from __future__ import annotations

import numpy as np
import pytest

from unidet.data.toy.shapes import area, bounds, fill, place, single_loop, unit_outlines
from unidet.data.toy.vocabulary import SHAPES

mask_tools = pytest.importorskip("pycocotools.mask")


def test_areas_by_hand() -> None:
    outlines = dict(zip(SHAPES, unit_outlines(), strict=True))
    assert area(outlines["square"]) == pytest.approx(1)
    # Five of the nine squares of a third a side.
    assert area(outlines["cross"]) == pytest.approx(5 / 9)
    # Polygons of 32 corners lie a little inside their circles.
    assert area(outlines["circle"]) == pytest.approx(np.pi / 4, rel=0.01)
    assert area(outlines["ring"]) == pytest.approx(3 / 4 * np.pi / 4, rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_mask_area_box_and_polygon_agree(shape: str) -> None:
    unit = unit_outlines()[SHAPES.index(shape)]
    assert (bounds(unit)[2:] - bounds(unit)[:2]).max() == pytest.approx(1)
    outline = place(unit, 80.0, 0.3, (70.3, 64.7))
    mask = fill(outline, 140, 130)
    assert mask.sum() == pytest.approx(area(outline), rel=0.02)
    rows, columns = np.nonzero(mask.max(axis=1))[0], np.nonzero(mask.max(axis=0))[0]
    mask_box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(bounds(outline) - mask_box).max() < 1.2

    encoded = mask_tools.frPyObjects([single_loop(outline).ravel().tolist()], 130, 140)
    theirs = mask_tools.decode(encoded)[..., 0].astype(bool)
    ours = mask >= 0.5
    assert (theirs & ours).sum() / (theirs | ours).sum() > 0.94


def test_border_is_a_rim_of_the_given_width() -> None:
    square = [np.array([[10.0, 10], [50, 10], [50, 50], [10, 50]])]
    rim = fill(square, 60, 60, border=5) * fill(square, 60, 60)
    assert rim[30, 10:50] == pytest.approx([1] * 5 + [0] * 30 + [1] * 5, abs=0.3)
