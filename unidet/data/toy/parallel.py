"""The same result from one process or many."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from unidet.console.interrupt import check
from unidet.errors import UserError

Result = TypeVar("Result")
Progress = Callable[[int, int], None]

_CHUNK = 50
_SAFE_PATH = "PYTHONSAFEPATH"


def map_chunks(
    work: Callable[[range], list[Result]], count: int, processes: int, progress: Progress | None
) -> Iterator[Result]:
    """Results of `work` for 0..count-1, in order, made in chunks of consecutive indices.

    Args:
        work: picklable; gives one result per index and must depend on nothing but the index.
        processes: 1 runs here, 0 takes one per core. Others are spawned, not forked: the caller
            may have threads.
        progress: called with (done, count) after every chunk.
    """
    chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    processes = min(processes or os.cpu_count() or 1, len(chunks))
    if processes <= 1:
        yield from _drain(map(work, chunks), count, progress)
        return
    others = {*multiprocessing.active_children()}
    context = multiprocessing.get_context("spawn")
    with _out_of_reach():  # its queues start a process too
        pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)
    try:
        with _out_of_reach():
            results = pool.map(work, chunks)  # starts the processes
        yield from _drain(results, count, progress)
    except BrokenProcessPool:
        check()  # who asks to stop, as `timeout` does, may ask all processes at once
        raise UserError(
            f"one of {processes} processes was killed, perhaps because memory ran out; "
            f"take fewer: data.processes={processes - 1}"
        ) from None
    except BaseException:  # what they still compute is for nobody, and may take long
        for process in {*multiprocessing.active_children()} - others:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _out_of_reach() -> Iterator[None]:
    """What is started meanwhile gets neither Ctrl-C nor the end of a terminal, from its first
    moment on: its parent, which gets both, says when it is over. Nor does it import what is called
    as a module in the current folder, which Python 3.10 cannot be told."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    path = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if path is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = path
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """A spawned process waits for work without end where its parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _drain(
    chunks: Iterator[list[Result]], count: int, progress: Progress | None
) -> Iterator[Result]:
    done = 0
    for results in chunks:
        done += len(results)
        if progress:
            progress(done, count)
        yield from results
