"""Encoding of boxes relative to reference boxes, and decoding.

`deltas` are R-CNN's (dx, dy, dw, dh). `tblr` are the distances (top, bottom, left, right) from the
centre of the reference. References are proposals or anchors. All boxes are (N, 4) x1, y1, x2, y2.
"""

from __future__ import annotations

import math

import jittor as jt
import numpy as np

from unidet.ops.boxes import Array, Size, as_var, clip_boxes

DELTA_STDS = (0.1, 0.1, 0.2, 0.2)
MAX_LOG_RATIO = abs(math.log(16 / 1000))
"""Limit of |dw| and |dh| before the exponential: a side grows at most by a factor of 62.5."""


def _centres_and_sizes(boxes: jt.Var) -> tuple[jt.Var, jt.Var]:
    """(N, 4) -> centres (N, 2) and sizes (N, 2), x before y."""
    return (boxes[:, :2] + boxes[:, 2:]) * 0.5, boxes[:, 2:] - boxes[:, :2]


def _row(values: tuple[float, ...], like: jt.Var) -> jt.Var:
    return jt.array(np.array([values], np.float32)).broadcast(like)


def encode_deltas(
    references: Array, boxes: Array, stds: tuple[float, float, float, float] = DELTA_STDS
) -> jt.Var:
    """Deltas (N, 4) that turn each reference into the box of the same row; sides must be > 0.

    Same as mmdet/core/bbox/coder/delta_xywh_bbox_coder.py `bbox2delta` with means 0.
    """
    centres, sizes = _centres_and_sizes(as_var(references))
    box_centres, box_sizes = _centres_and_sizes(as_var(boxes))
    deltas = jt.concat([(box_centres - centres) / sizes, jt.log(box_sizes / sizes)], dim=1)
    return deltas / _row(stds, deltas)


def decode_deltas(
    references: Array,
    deltas: jt.Var,
    stds: tuple[float, float, float, float] = DELTA_STDS,
    max_shape: Size | None = None,
) -> jt.Var:
    """Boxes (N, 4) of deltas (N, 4), clipped to `max_shape` if it is given.

    Same as mmdet/core/bbox/coder/delta_xywh_bbox_coder.py `delta2bbox` with means 0 and
    wh_ratio_clip 16/1000.
    """
    centres, sizes = _centres_and_sizes(as_var(references))
    scaled = deltas * _row(stds, deltas)
    new_centres = centres + scaled[:, :2] * sizes
    log_ratios = jt.minimum(jt.maximum(scaled[:, 2:], -MAX_LOG_RATIO), MAX_LOG_RATIO)
    half = sizes * jt.exp(log_ratios) * 0.5
    boxes = jt.concat([new_centres - half, new_centres + half], dim=1)
    return boxes if max_shape is None else clip_boxes(boxes, max_shape)


def decode_tblr(
    references: Array,
    distances: jt.Var,
    max_shape: Size | None = None,
) -> jt.Var:
    """Boxes (N, 4) of distances (N, 4) from the centres of the references, clipped to `max_shape`.

    Distances are top, bottom, left, right, in units of the reference's height or width. They may be
    negative, so boxes may be inverted. Same as mmdet/core/bbox/coder/tblr_bbox_coder.py
    `tblr2bboxes`.
    """
    centres, sizes = _centres_and_sizes(as_var(references))
    vertical, horizontal = sizes[:, 1:], sizes[:, :1]
    boxes = jt.concat(
        [
            centres[:, :1] - distances[:, 2:3] * horizontal,
            centres[:, 1:] - distances[:, 0:1] * vertical,
            centres[:, :1] + distances[:, 3:4] * horizontal,
            centres[:, 1:] + distances[:, 1:2] * vertical,
        ],
        dim=1,
    )
    return boxes if max_shape is None else clip_boxes(boxes, max_shape)
