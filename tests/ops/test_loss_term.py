"""Losses of a part: sums and counts add up, the division comes last."""

from __future__ import annotations

import jittor as jt
import pytest

from unidet.ops.loss_term import LossTerm, loss_values, tally, total


def term(value: float, count: float, **settings: float) -> LossTerm:
    return LossTerm(jt.array([value]), count, **settings)


def test_parts_are_divided_by_the_count_of_all() -> None:
    """2 * (6 + 3) / (4 + 2)."""
    parts = [term(6, 4, weight=2), term(3, 2, weight=2)]
    shares = [part.share(4 + 2).item() for part in parts]
    assert shares == pytest.approx([2.0, 1.0])


def test_a_batch_in_one_piece() -> None:
    values = loss_values({"loss_box": term(6, 4, weight=2), "positives": tally(5)})
    assert {name: value.item() for name, value in values.items()} == {"loss_box": 3, "positives": 5}


@pytest.mark.parametrize(("count", "expected"), [(0, 6), (0.5, 6), (1, 6), (4, 1.5)])
def test_the_divisor_is_at_least_one_unless_told(count: float, expected: float) -> None:
    assert term(6, count).value.item() == expected
    assert term(6, 0.5, least=0).value.item() == 12
    assert term(6, 2, least=4).value.item() == 1.5


def test_only_losses_are_minimized() -> None:
    values = {
        "loss_box": jt.array([1.5]),
        "loss_class": jt.array([2.0]),
        "positives": jt.array([9]),
    }
    assert total(values).item() == 3.5


def test_the_gradient_is_that_of_the_share() -> None:
    weights = jt.array([3.0])
    share = LossTerm(weights * weights, 2, weight=5).share(10)
    assert jt.grad(share, weights).item() == pytest.approx(5 * 6 / 10)
