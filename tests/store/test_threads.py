"""Work on many files that is stopped."""

from __future__ import annotations

import time

import pytest

from unidet.store.threads import pool_of


def test_what_has_not_begun_is_given_up() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.005)
        return item

    def first_of_all() -> None:
        with pool_of(2) as pool:
            results = pool.map(work, range(100))
            assert next(results) == 0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first_of_all()
    assert len(begun) < 50


def test_all_is_done_else() -> None:
    with pool_of(2) as pool:
        assert [*pool.map(abs, range(-3, 3))] == [3, 2, 1, 0, 1, 2]
