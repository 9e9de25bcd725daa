"""The output of a dense head for every anchor, and its best boxes.

N images, A anchors over all levels, finest first, K chosen rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jittor as jt
import numpy as np

from unidet.ops.anchors import grid_anchors
from unidet.ops.finite import require_finite


@dataclass
class DenseOutput:
    """Output of one batch, with the anchors of all levels in one dimension.

    Attributes:
        offsets_NA4: offsets of a box from its anchor, in the head's own encoding.
        logits_NA: logits of objectness or of centerness.
        anchors_A4: xyxy, pixels of the padded batch.
        level_counts: anchors of each level.
    """

    offsets_NA4: jt.Var
    logits_NA: jt.Var
    anchors_A4: np.ndarray
    level_counts: tuple[int, ...]

    def offsets_at(self, images: np.ndarray, anchors: np.ndarray) -> jt.Var:
        """Offsets (K, 4) of anchor `anchors[k]` in image `images[k]`."""
        return self.offsets_NA4.reshape((-1, 4))[self._flat(images, anchors)]

    def logits_at(self, images: np.ndarray, anchors: np.ndarray) -> jt.Var:
        """Logits (K,) of anchor `anchors[k]` in image `images[k]`."""
        return self.logits_NA.reshape((-1,))[self._flat(images, anchors)]

    def levels(self) -> Iterator[tuple[int, slice]]:
        """Index of each level with the slice of its anchors."""
        start = 0
        for level, count in enumerate(self.level_counts):
            yield level, slice(start, start + count)
            start += count

    def _flat(self, images: np.ndarray, anchors: np.ndarray) -> jt.Var:
        return jt.array((images * len(self.anchors_A4) + anchors).astype(np.int32))


def anchors_of(
    feats: list[jt.Var],
    strides: Sequence[int],
    scales: Sequence[float],
    ratios: Sequence[float] = (1.0,),
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Anchors (A, 4) of all levels (N, C, H, W), and their number per level."""
    shapes = [tuple(level.shape[2:4]) for level in feats]
    anchors = [
        grid_anchors(height, width, stride, scales, ratios)
        for (height, width), stride in zip(shapes, strides, strict=True)
    ]
    return np.concatenate(anchors), tuple(len(level) for level in anchors)


def best_of_levels(
    output: DenseOutput, count: int, decode: Callable[..., jt.Var], sizes_N2: np.ndarray
) -> np.ndarray:
    """Boxes and scores (N, K, 5) of the `count` best anchors of each level, clipped to the images.

    Anchors of a level are in descending order of score, or in their own order if it has at most
    `count`. `decode` takes references, offsets and `max_shape`. Column 4 is sigmoid(logit).
    """
    scores_NA = require_finite(jt.sigmoid(output.logits_NA).numpy())
    best_NK = np.stack([_best_rows(row, output, count) for row in scores_NA])
    offsets = np.take_along_axis(output.offsets_NA4.numpy(), best_NK[..., None], axis=1)
    boxes = decode(
        output.anchors_A4[best_NK.ravel()],
        jt.array(offsets.reshape(-1, 4)),
        max_shape=np.repeat(sizes_N2, best_NK.shape[1], axis=0),
    )
    boxes_NK4 = boxes.numpy().reshape(*best_NK.shape, 4)
    scores_NK1 = np.take_along_axis(scores_NA, best_NK, axis=1)[..., None]
    return np.concatenate([boxes_NK4, scores_NK1], axis=2)


def _best_rows(scores: np.ndarray, output: DenseOutput, count: int) -> np.ndarray:
    best = []
    for _, level in output.levels():
        rows = np.arange(level.start, level.stop)
        if len(rows) > count:
            rows = rows[np.argsort(-scores[level], kind="stable")[:count]]
        best.append(rows)
    return np.concatenate(best)
