"""Thread pools that stop quickly after an interrupt or an error."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def pool_of(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool that cancels pending work when the block ends, also by a signal or an error.

    The executor's own `with` would first finish all work whose `map` is still referenced.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
