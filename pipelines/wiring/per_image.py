"""A network's results per image of a dataset, computed once per image content.

Artefacts of the same network and settings on other datasets may contain images of this one; their
results are reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from unidet.config.images import ImageConfig
from unidet.pipelines.engine.shards import SHARDS, Columns, DigestOf, Results, Sharded, ShardSet
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.pipelines.wiring.image_sets import ImageSet, open_image_set

if TYPE_CHECKING:
    from unidet.data.loader import Proposals
    from unidet.records import Batch

ResultsOfBatch: TypeAlias = "Callable[[Batch], Iterator[tuple[int, Columns]]]"
"""A batch to the row and columns of each of its images."""


def shards_of(job: Job, images_per_shard: int) -> ShardSet:
    """The shards of the dataset that a job takes."""
    return ShardSet(SHARDS, len(open_image_set(job).split), images_per_shard)


def fill_shards(
    job: Job, plan: ShardSet, label: str, digest_of: DigestOf, results: Results
) -> None:
    """Finish the shards of a job under a progress line that starts with `label`."""
    progress = job.progress(label)
    plan.fill(job.work, results, digest_of, progress)
    progress.close()


def reusing(
    siblings: Callable[[], Iterable[Path]], digest_of: DigestOf, compute: Results
) -> Results:
    """`compute`, called only for images without a result in any sibling.

    Args:
        siblings: folders of the artefacts to look in; called when a first result is wanted.
        digest_of: identifies an image's result.
    """

    @cache
    def reusable() -> list[Sharded]:
        return [Sharded(folder / SHARDS) for folder in siblings()]

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        unseen: dict[bytes, list[int]] = {}
        for row in rows:
            unseen.setdefault(digest_of(row), []).append(row)
        for shards in reusable():
            held = unseen.keys() & shards.rows_by_digest.keys()
            # In the order in which they lie there, so that each shard is read once.
            for digest in sorted(held, key=shards.rows_by_digest.__getitem__):
                columns = shards.of(shards.rows_by_digest[digest])
                yield from ((row, columns) for row in unseen.pop(digest))
        if unseen:
            yield from compute(sorted(chain.from_iterable(unseen.values())))

    return results


def network_results(job: Job, digest_of: DigestOf, open_network: Callable[[], Results]) -> Results:
    """Results of a network that is opened when a first image needs it."""
    opened = cache(open_network)
    return reusing(job.siblings, digest_of, lambda rows: opened()(rows))


def batch_by_batch(
    data: ImageSet,
    images: ImageConfig,
    batch_size: int,
    results_of: ResultsOfBatch,
    proposals_of: Proposals | None = None,
) -> Results:
    """Results of a network that takes a set's images in batches.

    Args:
        images: how they are resized and normalized.
        results_of: runs the network; its rows are those of the set.
        proposals_of: row to the image's proposals, which then go into the batch.
    """
    from unidet.data.loader import evaluation_batches

    transform = evaluation_transform(images)

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        batches = evaluation_batches(
            data.images, data.split, rows, transform, batch_size, proposals_of=proposals_of
        )
        for batch in batches:
            yield from results_of(batch)

    return results
