"""`rm` removes one artefact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from studies import built

from unidet.config.study import Config
from unidet.store.store import Store

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]
Answer = Callable[..., Any]


def test_rm_removes_what_nothing_needs(
    tiny: Make, command: Command, answer: Answer, store: Store
) -> None:
    done = built(tiny("stage=rpn"))
    status, text = command("rm", "data")
    assert status == 2
    assert f"stays: rpn {done['rpn'].action.output[:12]} was made from it" in text
    assert command("rm", "rpn")[0] == 0
    assert not done["rpn"].folder.exists()
    assert answer("rm", "data")["key"] == done["data"].action.key
    assert list(store.actions()) == []
    assert built(tiny("stage=rpn"))["rpn"].how == "ran"
