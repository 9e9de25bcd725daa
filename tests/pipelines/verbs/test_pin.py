"""`pin` and `unpin`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from studies import built

from unidet.config.study import Config
from unidet.store.store import Store

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]
Answer = Callable[..., Any]


def test_a_pin_of_an_artefact_that_is_gone_is_taken_away(
    tiny: Make, command: Command, store: Store
) -> None:
    rpn = built(tiny("stage=rpn"))["rpn"].action
    command("pin", "rpn")
    store.layout.record(rpn.key).unlink()
    remedy = f"unidet unpin {rpn.key[:12]}"
    assert f"gone; run: {remedy}\n" in command("pin")[1]
    assert command(*remedy.split()[1:]) == (0, f"rpn {rpn.key[:12]} is no longer pinned\n")
    assert command("pin") == (0, "nothing is pinned\n")


def test_a_damaged_pin_is_listed_and_taken_away(tiny: Make, command: Command, store: Store) -> None:
    rpn = built(tiny("stage=rpn"))["rpn"].action
    command("pin", "rpn")
    store.layout.pin(rpn.key).write_bytes(b"")
    assert f"{rpn.key[:12]}  a damaged pin\n" in command("pin")[1]
    assert command("unpin", "rpn")[0] == 0
    assert command("pin") == (0, "nothing is pinned\n")


def test_a_pin_that_holds_another_key_protects_by_its_name(
    tiny: Make, command: Command, store: Store
) -> None:
    """Else it would protect nothing, and `gc` would not say so."""
    rpn = built(tiny("stage=rpn"))["rpn"].action
    command("pin", "rpn")
    lost = "0" * 64
    store.layout.pin(rpn.key).rename(store.layout.pin(lost))
    remedy = f"unidet unpin {lost[:12]}"
    assert f"gone; run: {remedy}\n" in command("pin")[1]
    status, text = command("gc", "--keep-last", "0")
    assert (status, remedy in text) == (2, True)
    assert command(*remedy.split()[1:])[0] == 0
    assert command("gc", "--keep-last", "0")[0] == 0


def test_pins_are_listed_and_taken_away(tiny: Make, command: Command, answer: Answer) -> None:
    rpn = built(tiny("stage=rpn"))["rpn"].action
    assert command("pin") == (0, "nothing is pinned\n")
    assert answer("pin", "rpn")["new"] is True
    assert answer("pin", "rpn")["new"] is False
    (mark,) = answer("pin")
    names = (mark["label"], mark["key"], mark["output"])
    assert names == ("rpn", rpn.key, rpn.output)
    assert "pinned" in command("lineage", "rpn")[1].splitlines()[0]
    assert command("unpin", "rpn")[0] == 0
    status, text = command("unpin", "rpn")
    assert (status, "is not pinned" in text) == (2, True)
    assert command("pin") == (0, "nothing is pinned\n")
