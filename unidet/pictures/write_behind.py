"""Outputs written in threads while the network goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

UNWRITTEN = 8  # most images that wait to be drawn


class WriteBehind:
    """Writes in threads; errors are raised in the main thread at the next call.

    After a failure nothing more is started, so that a video with a missing frame is not finished.

    Frames of a video, and very large images, are written one after the other.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "write")
        self._turns = ThreadPoolExecutor(1, "write-in-turn")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def submit(
        self, write: Callable[[], None], then: Callable[[], None] | None, *, in_turn: bool
    ) -> None:
        def work() -> None:
            if self._failed:
                return
            try:
                write()
            except BaseException:
                self._failed = True
                raise
            if then is not None:
                then()

        self._waiting.append((self._turns if in_turn else self._pool).submit(work))
        while len(self._waiting) > UNWRITTEN:
            self._waiting.popleft().result()

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, *error: Any) -> None:
        self._pool.shutdown()
        self._turns.shutdown()
        for future in self._waiting:
            future.result()
