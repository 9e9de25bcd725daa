"""What a network finds in each image of a data set: once for one image content.

Artefacts of the same network and settings on other data sets may hold images of this one; their
results are taken over, not computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from unidet.pipelines.engine.shards import SHARDS, Columns, DigestOf, Results, Sharded
from unidet.pipelines.engine.stage import Job


def reusing(
    siblings: Callable[[], Iterable[Path]], digest_of: DigestOf, compute: Results
) -> Results:
    """`compute`, asked only for images of which no sibling holds a result.

    Args:
        siblings: folders of the artefacts to look in; called when a first result is wanted.
        digest_of: what an image's result is found by.
    """

    @cache
    def reusable() -> list[Sharded]:
        return [Sharded(folder / SHARDS) for folder in siblings()]

    def result_of(row: int) -> Columns | None:
        digest = digest_of(row)
        for shards in reusable():
            if digest in shards.rows_by_digest:
                return shards.of(shards.rows_by_digest[digest])
        return None

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        unseen = []
        for row in rows:
            columns = result_of(row)
            if columns is None:
                unseen.append(row)
            else:
                yield row, columns
        if unseen:
            yield from compute(unseen)

    return results


def network_results(job: Job, digest_of: DigestOf, open_network: Callable[[], Results]) -> Results:
    """Results of a network that is opened when a first image needs it."""
    opened = cache(open_network)
    return reusing(job.siblings, digest_of, lambda rows: opened()(rows))
