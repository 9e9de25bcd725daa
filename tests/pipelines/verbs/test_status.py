"""`status` and its exit status."""

from __future__ import annotations

from collections.abc import Callable

from studies import built

from unidet.config.study import Config

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]


def test_status_check_exits_with_3_unless_all_is_fresh(tiny: Make, command: Command) -> None:
    assert command("status", "--check")[0] == 3
    built(tiny("stage=report"))
    assert command("status", "--check")[0] == 0
    assert command("status", "--check", "roi.training.steps=9")[0] == 3
    assert command("status", "roi.training.steps=9")[0] == 0
