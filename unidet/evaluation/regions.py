"""What the network leaves of an image for evaluation, and the shards that hold it.

R regions, D embedding dimensions. Everything that follows (vocabulary, calibration, suppression)
works on these alone and needs no network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unidet.errors import UserError


@dataclass(frozen=True)
class Regions:
    """The R regions of one image.

    Attributes:
        image_id: the dataset's own id.
        boxes_xyxy: (R, 4) float32, refined, clipped, original pixels.
        proposal_scores: (R,) float32 in [0, 1], class-agnostic.
        embeddings: (R, D) float16 or float32 of unit length.
    """

    image_id: int
    boxes_xyxy: np.ndarray
    proposal_scores: np.ndarray
    embeddings: np.ndarray


def save_regions(path: Path, image_rows: Sequence[int], regions: Sequence[Regions]) -> None:
    """Writes one shard: a .npz of columns, embeddings as float16, image i at offsets[i:i + 2].

    Args:
        image_rows: row of each image in its split, as many as `regions` and at least one.
    """
    counts = [len(image.boxes_xyxy) for image in regions]
    np.savez(
        path,
        image_rows=np.asarray(image_rows, dtype=np.int32),
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        boxes_xyxy=np.concatenate([image.boxes_xyxy for image in regions]).astype(np.float32),
        proposal_scores=np.concatenate([image.proposal_scores for image in regions]).astype(
            np.float32
        ),
        embeddings=np.concatenate([image.embeddings for image in regions]).astype(np.float16),
    )


@dataclass(frozen=True)
class RegionShards:
    """The images of several shards, read one shard at a time, each time anew.

    Attributes:
        paths: files written by `save_regions`.
        image_ids: (N,) ids of the split's images, by row.
    """

    paths: Sequence[Path]
    image_ids: np.ndarray

    def __iter__(self) -> Iterator[Regions]:
        for path in self.paths:
            with np.load(path) as shard:
                columns = {name: shard[name] for name in shard.files}
            rows, offsets = columns["image_rows"], columns["offsets"]
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.image_ids):
                raise UserError(
                    f"{path}: names image row {rows.max()} of a split of {len(self.image_ids)} "
                    "images; it belongs to other data"
                )
            for row, first, last in zip(rows, offsets[:-1], offsets[1:], strict=True):
                yield Regions(
                    int(self.image_ids[row]),
                    columns["boxes_xyxy"][first:last],
                    columns["proposal_scores"][first:last],
                    columns["embeddings"][first:last],
                )
