"""Names of wrappers: which go, in which order, and when none may."""

from __future__ import annotations

import pytest

from unidet.weights.wrappers import unwrapped


@pytest.mark.parametrize(
    ("names", "bare"),
    [
        (["module.a.w", "module.b.w"], [["a.w", "b.w"]]),
        (["a._orig_mod.w", "b.w"], [["a.w", "b.w"]]),
        (["model.module.a.w", "model.module.b"], [["model.a.w", "model.b"], ["a.w", "b"]]),
        (["student.a.w", "teacher.a.w"], []),
        (["model.a", "criterion"], [["model.a"], ["a"]]),
        (["net.a.w", "net.b", "loss_fn.w", "val_metrics.n"], [["net.a.w", "net.b"], ["a.w", "b"]]),
        (["criterion.w", "loss.w"], []),
        (["module.w", "w"], []),
        (["modules.w", "my_module.w"], []),
        (["a"], []),
        ([], []),
        (["a.w", "a.b"], [["w", "b"]]),
        (["model.a", "model.b", "avg_model.a"], [["a", "b"]]),
        (["module.model.a", "module.avg_model.a"], [["model.a", "avg_model.a"], ["a"]]),
        (["module.a.w", "n_averaged"], [["a.w", "n_averaged"], ["a.w"], ["w"]]),
        (["a.b.w", "a.b.c", "ema_a_b_w", "ema_x"], [["a.b.w", "a.b.c", "ema_x"]]),
    ],
)
def test_names(names: list[str], bare: list[list[str]]) -> None:
    ways = list(unwrapped(names))
    assert [list(way.names) for way in ways] == [names, *bare]


def test_the_ema_wins_and_the_rest_stays() -> None:
    way = list(unwrapped(["model.a", "model.b", "avg_model.a"]))[-1]
    assert way.of({"model.a": 1, "model.b": 2, "avg_model.a": 3}) == {"a": 3, "b": 2}
    assert str(way) == "without model. avg_model."
