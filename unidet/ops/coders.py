"""Boxes as offsets from reference boxes, and back.

`deltas` is the R-CNN code (dx, dy, dw, dh); `tblr` the distances (top, bottom, left, right) from
the reference's centre. References are proposals or anchors; all boxes are (N, 4) x1, y1, x2, y2.
"""

from __future__ import annotations

import math

import jittor as jt
import numpy as np

from unidet.ops.boxes import Array, Size, as_var, clip_boxes

DELTA_STDS = (0.1, 0.1, 0.2, 0.2)
MAX_LOG_RATIO = abs(math.log(16 / 1000))
"""|dw|, |dh| are cut here before the exponential: no side grows more than 62.5-fold."""


def _centres_and_sizes(boxes: jt.Var) -> tuple[jt.Var, jt.Var]:
    """(N, 4) -> centres (N, 2) and sizes (N, 2), x before y."""
    return (boxes[:, :2] + boxes[:, 2:]) * 0.5, boxes[:, 2:] - boxes[:, :2]


def _row(values: tuple[float, ...], like: jt.Var) -> jt.Var:
    return jt.array(np.array([values], np.float32)).broadcast(like)


def encode_deltas(
    references: Array, boxes: Array, stds: tuple[float, float, float, float] = DELTA_STDS
) -> jt.Var:
    """Offsets (N, 4) that carry each reference onto its box; sides must be > 0.

    mmdet/core/bbox/coder/delta_xywh_bbox_coder.py `bbox2delta`, means 0.
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
    """Boxes (N, 4) reached from the references; clipped to max_shape if given.

    mmdet/core/bbox/coder/delta_xywh_bbox_coder.py `delta2bbox`, means 0, wh_ratio_clip 16/1000.
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
    """Boxes (N, 4) from distances (N, 4) top, bottom, left, right from a reference's centre, in its
    own sides; not forced positive, so boxes may come out inverted.

    mmdet/core/bbox/coder/tblr_bbox_coder.py `tblr2bboxes`; clipped to max_shape if given.
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
