"""Old images stored as feature maps for training, in numpy.

M: images, C: channels, h, w: cells of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unidet.records import Batch


@dataclass(frozen=True)
class StoredImages:
    """Feature maps of the frozen backbone for M old images, with boxes and labels.

    Attributes:
        maps: (C, h, w) float16 each, of one stride.
        boxes, labels, proposals: as in `Batch`.
        dataset_ids: (M,) int32, among the datasets of the classifier.
    """

    maps: Sequence[np.ndarray]
    boxes: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]
    proposals: Sequence[np.ndarray]
    dataset_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.maps)

    def batch(self, rows: Sequence[int]) -> Batch:
        """A batch of the images at `rows`, with maps instead of images, padded to one size."""
        maps = [self.maps[row] for row in rows]
        sizes = np.array([item.shape[1:] for item in maps], np.int32)
        padded = np.zeros((len(maps), maps[0].shape[0], *sizes.max(axis=0)), np.float32)
        for place, item in zip(padded, maps, strict=True):
            place[:, : item.shape[1], : item.shape[2]] = item
        return Batch(
            images_NCHW=padded,
            sizes_N2=sizes,
            scales_N4=np.ones((len(maps), 4), np.float32),
            flips_N2=np.zeros((len(maps), 2), bool),
            boxes=[self.boxes[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            dataset_ids=self.dataset_ids[list(rows)],
            image_rows=np.array(rows, np.int32),
            proposals=[self.proposals[row] for row in rows],
        )
