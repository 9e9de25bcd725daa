"""Decoding in threads in parallel with the network, in order and with bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Work(Generic[Result]):
    """A read operation: `read` is called in a thread; its result takes `size` bytes."""

    size: int
    read: Callable[[], Result]


class ReadAhead(Generic[Result]):
    """Iterates over the results of works, in their order; closed by `with`.

    Threads read ahead until `count` results or results of `most` bytes are waiting; one work is
    always read, of any size. The works are also generated in a thread. An error there, or in a
    read, is raised in place of the result.
    """

    def __init__(
        self, works: Iterable[Work[Result]], *, threads: int, most: int, count: int
    ) -> None:
        self._waiting: deque[tuple[int, Future[Result]]] = deque()
        self._bytes = 0
        self._most, self._count = most, count
        self._change = threading.Condition()
        self._ended: BaseException | None = None
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, "decode")
        self._feeder = threading.Thread(target=self._feed, args=(works,), daemon=True)
        self._feeder.start()

    def __enter__(self) -> ReadAhead[Result]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._feeder.join()
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> ReadAhead[Result]:
        return self

    def __next__(self) -> Result:
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting:
                assert self._ended is not None
                raise self._ended
            size, future = self._waiting.popleft()
        try:
            return future.result()
        finally:
            with self._change:
                self._bytes -= size
                self._change.notify_all()

    def _feed(self, works: Iterable[Work[Result]]) -> None:
        ended: BaseException = StopIteration()
        try:
            for work in works:
                if not self._admitted(work):
                    break
        except BaseException as error:  # raised by __next__
            ended = error
        with self._change:
            self._ended = ended
            self._change.notify_all()

    def _has_room(self, size: int) -> bool:
        fits = self._bytes + size <= self._most and len(self._waiting) < self._count
        return fits or not self._bytes

    def _admitted(self, work: Work[Result]) -> bool:
        """Start reading when there is room; False if the iterator has been closed."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._has_room(work.size))
            if not self._closed:
                self._bytes += work.size
                self._waiting.append((work.size, self._pool.submit(work.read)))
                self._change.notify_all()
            return not self._closed
