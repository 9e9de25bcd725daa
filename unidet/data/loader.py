"""Batches prepared by threads; decoding and array arithmetic release Python's global lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np

from unidet.data.images import Images
from unidet.data.repeats import Repeats, once
from unidet.data.sampler import Sampler
from unidet.data.transforms import Sample, Transform
from unidet.errors import UserError
from unidet.records import Batch, Split

Proposals = Callable[[int], np.ndarray]
"""Row of an image -> proposals (P, 5) float32 xyxy + score, in original pixels."""


@dataclass(frozen=True)
class Source:
    """One dataset: its index, its images and, for a second stage, its proposals."""

    split: Split
    images: Images
    proposals_of: Proposals | None = None

    def sample(self, row: int, transform: Transform, rng: np.random.Generator) -> Sample:
        """The transformed image at `row` with its boxes, without crowds.

        Raises:
            UserError: the image cannot be read.
            RuntimeError: any other error; the message names the image.
        """
        try:
            pixels = self.images.read(row)
            boxes, labels, is_crowd = self.split.boxes_of(row)
            proposals = None if self.proposals_of is None else self.proposals_of(row)
            sample = transform.apply(pixels, boxes[~is_crowd], labels[~is_crowd], proposals, rng)
        except UserError:
            raise
        except Exception as error:
            name = self.images.name(row)
            raise RuntimeError(f"{self.split.name}: {name} (row {row}): {error!r}") from error
        sample.row = row
        return sample


class Loader:
    """Iterator over the training batches of steps `start_step` to `steps` - 1.

    The batch of a step depends only on seed and step, and not on threads or `start_step`. The
    augmentation of an image uses `default_rng((seed, epoch, row, dataset))`, extended by the number
    of the copy if an epoch shows the image again. Random choices for a whole batch use
    `default_rng((seed, step))`.

    `repeats` is how often an epoch shows each image. `share` (n, N) yields only the n-th of N equal
    parts of each batch, for one of N processes. Dataset ids are positions in `sources`. An error in
    a thread is raised in place of its batch. Threads end with `close()`, at the end of a `with`
    block, or when the loader is garbage-collected.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        batch_size: int,
        steps: int,
        seed: int,
        transform: Transform,
        start_step: int = 0,
        threads: int = 2,
        prefetch: int = 4,
        share: tuple[int, int] = (0, 1),
        repeats: Repeats = once,
    ) -> None:
        splits = [source.split for source in sources]
        self.sampler = sampler = Sampler(splits, batch_size, seed, repeats)
        steps_left = range(start_step, steps)
        # nothing below refers to the loader itself, so that it can be garbage-collected
        jobs = (_training_job(sources, sampler, transform, step, share) for step in steps_left)
        self._batches = _ahead(jobs, threads, prefetch)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; the loader is exhausted afterwards."""
        self._batches.close()


def evaluation_batches(
    images: Images,
    split: Split,
    rows: Sequence[int] | np.ndarray,
    transform: Transform,
    batch_size: int,
    *,
    proposals_of: Proposals | None = None,
    threads: int = 2,
    prefetch: int = 4,
) -> Iterator[Batch]:
    """Batches of the given rows; the images of a batch have the same padded size.

    The result of an image therefore does not depend on the others. Rows with the same size keep
    their order; sizes are in the order of their first appearance. The transform must be
    deterministic: one short side, no flips.
    """
    source = Source(split, images, proposals_of)

    def job(batch_rows: list[int]) -> Callable[[], Batch]:
        def make() -> Batch:
            rng = np.random.default_rng(0)
            return transform.collate([source.sample(row, transform, rng) for row in batch_rows])

        return make

    by_size: dict[tuple[int, int], list[int]] = {}
    for row in map(int, rows):
        size = transform.padded_size(int(split.widths[row]), int(split.heights[row]))
        by_size.setdefault(size, []).append(row)
    parts = (
        same[first : first + batch_size]
        for same in by_size.values()
        for first in range(0, len(same), batch_size)
    )
    yield from _ahead(map(job, parts), threads, prefetch)


def _training_job(
    sources: Sequence[Source],
    sampler: Sampler,
    transform: Transform,
    step: int,
    share: tuple[int, int],
) -> Callable[[], Batch]:
    epoch, batch = sampler.batch(step)
    number, shares = share
    members = batch[len(batch) * number // shares : len(batch) * (number + 1) // shares]

    def make() -> Batch:
        samples = []
        shared = transform.for_batch(np.random.default_rng((sampler.seed, step)))
        for member in members:
            again = (member.copy,) if member.copy else ()
            key = (sampler.seed, epoch, member.row, member.dataset_id, *again)
            source = sources[member.dataset_id]
            sample = source.sample(member.row, shared, np.random.default_rng(key))
            sample.dataset_id = member.dataset_id
            samples.append(sample)
        return replace(shared.collate(samples), epoch=epoch)

    return make


def _ahead(
    jobs: Iterator[Callable[[], Batch]], threads: int, prefetch: int
) -> Generator[Batch, None, None]:
    """Results of the jobs in order, prepared up to `prefetch` ahead of the one in use."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="unidet-loader")
    waiting: deque[Future[Batch]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > prefetch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
