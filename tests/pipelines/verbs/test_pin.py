"""`pin` and `unpin`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unidet.config.study import Config
from unidet.pipelines.engine import engine

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]
Answer = Callable[..., Any]


def test_pins_are_listed_and_taken_away(tiny: Make, command: Command, answer: Answer) -> None:
    rpn = engine.bring_up_to_date(tiny("stage=rpn"))["rpn"].action
    assert command("pin") == (0, "nothing is pinned\n")
    assert answer("pin", "rpn")["new"] is True
    assert answer("pin", "rpn")["new"] is False
    (one,) = answer("pin")
    assert (one["stage"], one["key"]) == ("rpn", rpn.key)
    assert "pinned" in command("lineage", "rpn")[1].splitlines()[0]
    assert command("unpin", "rpn")[0] == 0
    status, text = command("unpin", "rpn")
    assert (status, "is not pinned" in text) == (2, True)
    assert command("pin") == (0, "nothing is pinned\n")
