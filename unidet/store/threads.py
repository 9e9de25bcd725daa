"""Work on many files side by side, which ends soon where it is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def pool_of(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads; what they have not begun when the block is left, by a signal or a fault, is given
    up. The executor's own `with` does all of it first where a variable holds what `map` gave."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
