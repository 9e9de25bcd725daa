"""What a trace sees of a network, on plain objects."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from unidet.pipelines.traces.seen import seen


@dataclass(frozen=True)
class Doubler:
    def double(self, number: int) -> int:
        return 2 * number

    def twice(self, number: int, *, extra: int = 0) -> int:
        return self.double(self.double(number)) + extra


def test_every_call_is_seen_and_nothing_stays_behind() -> None:
    doubler = Doubler()
    with seen({"single": doubler.double, "all": doubler.twice}) as results:
        assert doubler.twice(3, extra=1) == 13
    assert results == {"single": [6, 12], "all": [13]}
    assert doubler.twice(3) == 12
    assert results["single"] == [6, 12]
    assert vars(doubler) == {}


def test_a_change_takes_the_place_of_the_result() -> None:
    doubler = Doubler()
    with seen({"single": doubler.double}, {"single": lambda own: own + 1}) as results:
        assert doubler.twice(3) == 15
    assert results == {"single": [7, 15]}


def test_after_an_error_the_methods_are_back() -> None:
    doubler = Doubler()
    with pytest.raises(TypeError), seen({"single": doubler.double}):
        doubler.twice("a", extra=1)  # type: ignore[arg-type]
    assert vars(doubler) == {}
