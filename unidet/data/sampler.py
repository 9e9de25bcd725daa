"""The images of training batches as a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unidet.data.repeats import Repeats, once
from unidet.errors import UserError
from unidet.records import Split

SMALLEST_IMAGE = 32  # pixels; smaller images are not trained on (mmdet 2.18 datasets/coco.py)


def trainable_rows(split: Split) -> np.ndarray:
    """Rows (K,) int64 of images with a box that is not a crowd and sides of at least 32 pixels.

    mmdet also keeps images that have only crowds, which contribute nothing.
    """
    return np.flatnonzero(is_labelled(split) & ~is_small(split))


def is_labelled(split: Split) -> np.ndarray:
    """(N,) bool: which images have a box that is not a crowd."""
    labelled = np.zeros(len(split), bool)
    labelled[split.box_image[~split.is_crowd]] = True
    return labelled


def is_small(split: Split) -> np.ndarray:
    """(N,) bool: which images have a side that is too short for training."""
    return np.minimum(split.widths, split.heights) < SMALLEST_IMAGE


class Member(NamedTuple):
    """An image of a batch: its dataset, its row, and how often the epoch has shown it before.

    Images that fill up the last batch of a group do not count.
    """

    dataset_id: int
    row: int
    copy: int = 0


class Sampler:
    """Shuffled batches over several datasets, as mmdet 2.18's GroupSampler over a ConcatDataset.

    An epoch shows each image as often as `repeats` says. A batch has only landscape images or only
    others. A group whose size is not a multiple of the batch size is filled up with random images
    of it. `batch(step)` needs no state and no earlier steps.
    """

    def __init__(
        self, splits: Sequence[Split], batch_size: int, seed: int, repeats: Repeats = once
    ) -> None:
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
        factors = np.concatenate(repeats(splits, trainable))
        self.copies = np.floor(factors).astype(np.int64)
        self.extras = self._extras(factors - self.copies)
        self._latest: tuple[int, np.ndarray] | None = None

    def _extras(self, fractions: np.ndarray) -> list[tuple[bool, np.ndarray, int]]:
        """Aspect group, its members in one dataset, number of these that an epoch shows again."""
        extras = []
        for group in (False, True):
            for dataset_id in range(int(self.dataset_ids[-1]) + 1):
                own = (self.wider == group) & (self.dataset_ids == dataset_id)
                count = round(float(fractions[own].sum()))
                if count:
                    extras.append((group, np.flatnonzero(own), count))
        return extras

    def __len__(self) -> int:
        """Number of images in an epoch, without those that fill up batches."""
        return int(self._sizes().sum())

    def _sizes(self) -> np.ndarray:
        """Number of images of each group in an epoch, (2,)."""
        sizes = np.bincount(self.wider, self.copies, minlength=2).astype(np.int64)
        for group, _, count in self.extras:
            sizes[int(group)] += count
        return sizes

    @property
    def steps_per_epoch(self) -> int:
        return int((-(-self._sizes() // self.batch_size)).sum())

    def batch(self, step: int) -> tuple[int, list[Member]]:
        """Epoch and batch of a global step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._latest is None or self._latest[0] != epoch:
            self._latest = epoch, self.epoch_batches(epoch)
        members, copies = self._latest[1][position].T
        ids, rows = self.dataset_ids[members].tolist(), self.rows[members].tolist()
        return epoch, [*map(Member, ids, rows, copies.tolist())]

    def epoch_batches(self, epoch: int) -> np.ndarray:
        """All batches of an epoch: (steps, batch_size, 2), positions in `rows` and copies."""
        rng = np.random.default_rng((self.seed, epoch))
        batches = []
        for group in (False, True):
            members = rng.permutation(self._members(group, rng))
            if len(members):
                extra = rng.choice(members, -len(members) % self.batch_size)
                batches.append(np.concatenate([members, extra]).reshape(-1, self.batch_size, 2))
        return rng.permutation(np.concatenate(batches))

    def _members(self, group: bool, rng: np.random.Generator) -> np.ndarray:
        """Positions in `rows` and copies (n, 2) of all images of a group in an epoch."""
        own = np.flatnonzero(self.wider == group)
        positions = np.repeat(own, self.copies[own])
        firsts = np.cumsum(self.copies[own]) - self.copies[own]
        parts = [(positions, np.arange(len(positions)) - np.repeat(firsts, self.copies[own]))]
        for of, candidates, count in self.extras:
            if of == group:
                drawn = rng.choice(candidates, count, replace=False)
                parts.append((drawn, self.copies[drawn]))
        return np.concatenate([np.stack(part, axis=1) for part in parts])
