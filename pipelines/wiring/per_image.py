"""A network's results per image of a dataset, computed once per image content.

Artefacts of the same network and settings on other datasets may contain images of this one; their
results are reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from unidet.config.images import ImageConfig
from unidet.pipelines.engine.shards import SHARDS, Columns, DigestOf, Results, Sharded, ShardSet
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.pipelines.wiring.image_sets import ImageSet, open_image_set
from unidet.store.arrays import malformed, require_arrays

if TYPE_CHECKING:
    from unidet.data.loader import Proposals
    from unidet.records import Batch

ResultsOfBatch: TypeAlias = "Callable[[Batch], Iterator[tuple[int, Columns]]]"
"""A batch to the row and columns of each of its images."""
Kinds: TypeAlias = "Mapping[str, tuple[str, tuple[int | None, ...]]]"
"""Name of each column that a stage writes -> its numpy type and the lengths of an entry."""


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
    siblings: Callable[[], Iterable[Path]], digest_of: DigestOf, kinds: Kinds, compute: Results
) -> Results:
    """`compute`, called only for images without a result in any sibling.

    Args:
        siblings: folders of the artefacts to look in; called when a first result is wanted.
        digest_of: identifies an image's result.
        kinds: the columns of a result. A sibling may come from elsewhere.

    Raises:
        Malformed: a result of a sibling has other columns.
    """

    @cache
    def reusable() -> list[tuple[Path, Sharded]]:
        folders = [folder / SHARDS for folder in siblings()]
        return [(folder, Sharded(folder)) for folder in folders]

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        unseen: dict[bytes, list[int]] = {}
        for row in rows:
            unseen.setdefault(digest_of(row), []).append(row)
        for folder, shards in reusable():
            held = unseen.keys() & shards.rows_by_digest.keys()
            # In the order in which they lie there, so that each shard is read once.
            for digest in sorted(held, key=shards.rows_by_digest.__getitem__):
                columns = shards.of(shards.rows_by_digest[digest])
                _require_kinds(folder, columns, kinds)
                yield from ((row, columns) for row in unseen.pop(digest))
        if unseen:
            yield from compute(sorted(chain.from_iterable(unseen.values())))

    return results


def _require_kinds(folder: Path, columns: Columns, kinds: Kinds) -> None:
    """Malformed where the columns are not exactly these."""
    shapes = {name: ("biuf", (None, *lengths)) for name, (_, lengths) in kinds.items()}
    require_arrays(folder, columns, shapes)
    found = {name: column.dtype.name for name, column in columns.items()}
    if found != {name: dtype for name, (dtype, _) in kinds.items()}:
        malformed(folder, f"its columns are {found}")


def network_results(
    job: Job, digest_of: DigestOf, kinds: Kinds, open_network: Callable[[], Results]
) -> Results:
    """Results of a network that is opened when a first image needs it."""
    opened = cache(open_network)
    return reusing(job.siblings, digest_of, kinds, lambda rows: opened()(rows))


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
