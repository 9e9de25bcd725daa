"""Reading beside the consumer: order, bounds, ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from commands import eventually

from unidet.pictures.read_ahead import ReadAhead, Work


def test_results_come_in_order_whatever_takes_longest() -> None:
    def slow(number: int) -> int:
        time.sleep(0.02 * (number % 3 == 0))
        return number

    works = (Work(1, lambda number=number: slow(number)) for number in range(20))
    with ReadAhead(works, threads=3, most=8, count=9) as results:
        assert list(results) == list(range(20))


@pytest.mark.parametrize(("most", "count"), [(10, 9), (99, 2)])
def test_no_more_is_read_than_may_wait(most: int, count: int) -> None:
    """Works of 4 bytes in 10, or two of any size, wait; the next begins when one was taken."""
    begun: list[int] = []

    def works() -> Iterator[Work[int]]:
        for number in range(6):
            yield Work(4, lambda number=number: begun.append(number) or number)

    with ReadAhead(works(), threads=2, most=most, count=count) as results:
        assert eventually(lambda: len(begun) == 2, 5)
        time.sleep(0.05)
        assert sorted(begun) == [0, 1]
        assert next(results) == 0
        assert eventually(lambda: len(begun) == 3, 5)


def test_one_that_is_larger_than_all_may_be_is_read_alone() -> None:
    works = [Work(99, lambda: 1), Work(99, lambda: 2)]
    with ReadAhead(works, threads=2, most=10, count=9) as results:
        assert list(results) == [1, 2]


def test_faults_are_raised_in_their_place() -> None:
    def fail() -> int:
        raise ValueError("in a read")

    def works() -> Iterator[Work[int]]:
        yield Work(1, lambda: 1)
        yield Work(1, fail)
        yield Work(1, lambda: 3)
        raise OSError("in the works")

    with ReadAhead(works(), threads=1, most=10, count=9) as results:
        assert next(results) == 1
        with pytest.raises(ValueError, match="in a read"):
            next(results)
        assert next(results) == 3
        for _ in range(2):
            with pytest.raises(OSError, match="in the works"):
                next(results)


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    works = (Work(1, lambda: 0) for _ in iter(int, 1))
    with ReadAhead(works, threads=2, most=10, count=9) as results:
        assert next(results) == 0
    assert eventually(lambda: threading.active_count() == before, 5)
