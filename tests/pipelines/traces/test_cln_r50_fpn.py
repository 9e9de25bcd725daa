"""The first stage's targets in mmdet's dense form, by hand."""

from __future__ import annotations

import numpy as np

from unidet.models.dense_output import DenseOutput
from unidet.models.oln_targets import AnchorDraw, SampledAnchors
from unidet.models.sampled_rows import concatenate
from unidet.pipelines.traces.cln_r50_fpn import dense_targets

ANCHORS = np.array([[0, 0, 8, 8], [8, 0, 16, 8], [0, 0, 16, 16]], np.float32)  # levels of 2 and 1


def draw(positive: list[int], box: list[float], negative: list[int]) -> AnchorDraw:
    boxes = np.array([box] * len(positive), np.float32)
    none = np.zeros(0, np.int64)
    rows, others = np.array(positive), np.array(negative)
    return AnchorDraw(rows, boxes, others, rows, boxes, none)


def test_levels_come_first_and_images_within_them() -> None:
    """Image 0: anchor 1 positive, anchor 2 negative; image 1: anchor 2 positive on a box at the
    border, which learns nothing officially, anchors 0 and 1 negative."""
    draws = [draw([1], [8, 1, 16, 9], [2]), draw([2], [0, 0, 16, 8], [0, 1])]
    sampler = SampledAnchors((0.7, 0.3), (0.3, 0.1), 0.3, 256, skip_border_boxes=True)
    targets = concatenate(
        [sampler.targets(i, ANCHORS, image_draw) for i, image_draw in enumerate(draws)]
    )
    output = DenseOutput(None, None, ANCHORS, (2, 1))
    dense = {
        name.removeprefix("rpn_tgt/"): array
        for name, array in dense_targets(output, draws, targets).items()
    }
    # Rows: level 0 of image 0, of image 1, then level 1 of image 0, of image 1.
    assert dense["labels"].tolist() == [1, 0, 1, 1, 1, 0]
    assert dense["label_weights"].tolist() == [0, 1, 1, 1, 1, 1]
    assert dense["bbox_targets"][[1, 5]].tolist() == [[8, 1, 16, 9], [0, 0, 16, 8]]
    assert dense["bbox_weights"].tolist() == [[0] * 4, [1] * 4, *[[0] * 4] * 4]
    assert dense["num_pos_neg"].tolist() == [2, 3]
    # Anchor 1's centre (12, 4) in its box: 3 above, 5 below, 4 left, 4 right.
    # Anchor 2's centre (8, 8) lies on its box's lower border.
    np.testing.assert_allclose(
        dense["objectness_targets"], [0, (3 / 5) ** 0.5, 0, 0, 0, 0], rtol=1e-6, atol=1e-7
    )
    assert dense["objectness_weights"].tolist() == [0, 1, 0, 0, 0, 1]
