"""Which images make up a training batch: a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unidet.errors import UserError
from unidet.records import Split

SMALLEST_IMAGE = 32  # pixels; smaller images are not trained on (mmdet 2.18 datasets/coco.py)


def trainable_rows(split: Split) -> np.ndarray:
    """Rows (K,) int64 of the images with a box that is no crowd and no side below 32 pixels.

    mmdet keeps an image with crowds only and finds nothing in it to learn; it is left out here.
    """
    labelled = np.zeros(len(split), bool)
    labelled[split.box_image[~split.is_crowd]] = True
    large = np.minimum(split.widths, split.heights) >= SMALLEST_IMAGE
    return np.flatnonzero(labelled & large)


class Sampler:
    """Shuffled batches over several datasets, as mmdet 2.18's GroupSampler over a ConcatDataset.

    Datasets are concatenated without balancing. A batch holds only images wider than high, or only
    others; a group that the batch size does not divide is filled with repeats drawn from it.
    Position needs no state: `batch(step)` is found without going through earlier steps.
    """

    def __init__(self, splits: Sequence[Split], batch_size: int, seed: int) -> None:
        trainable = [trainable_rows(split) for split in splits]
        self.batch_size, self.seed = batch_size, seed
        self.rows = np.concatenate(trainable)
        self.dataset_ids = np.repeat(np.arange(len(splits)), [len(rows) for rows in trainable])
        if not len(self.rows):
            names = ", ".join(split.name for split in splits)
            raise UserError(
                f"{names}: no image to train on; each needs a box that is no crowd and sides of at "
                f"least {SMALLEST_IMAGE} pixels"
            )
        wider = [
            split.widths[rows] > split.heights[rows]
            for split, rows in zip(splits, trainable, strict=True)
        ]
        self.wider = np.concatenate(wider)
        self._latest: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        """Images in an epoch, repeats not counted."""
        return len(self.rows)

    @property
    def steps_per_epoch(self) -> int:
        sizes = np.bincount(self.wider, minlength=2)
        return int((-(-sizes // self.batch_size)).sum())

    def batch(self, step: int) -> tuple[int, list[tuple[int, int]]]:
        """Epoch of a global step and its batch: (dataset id, row in that split) of each image."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._latest is None or self._latest[0] != epoch:
            self._latest = epoch, self.epoch_batches(epoch)
        members = self._latest[1][position]
        ids, rows = self.dataset_ids[members].tolist(), self.rows[members].tolist()
        return epoch, list(zip(ids, rows, strict=True))

    def epoch_batches(self, epoch: int) -> np.ndarray:
        """All batches of an epoch: (steps, batch_size) positions in `rows`."""
        rng = np.random.default_rng((self.seed, epoch))
        batches = []
        for group in (False, True):
            members = rng.permutation(np.flatnonzero(self.wider == group))
            if len(members):
                extra = rng.choice(members, -len(members) % self.batch_size)
                batches.append(np.concatenate([members, extra]).reshape(-1, self.batch_size))
        return rng.permutation(np.concatenate(batches))
