"""`gc` tells what it would do, and does it with `--yes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from studies import built

from unidet.config.study import Config
from unidet.store.store import Store

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]
Answer = Callable[..., Any]


def test_gc_tells_first_and_does_it_with_yes(
    tiny: Make, command: Command, answer: Answer, store: Store
) -> None:
    built(tiny("stage=rpn", "seed=1"))
    built(tiny("stage=rpn", "seed=2"))
    status, text = command("gc", "--keep-last", "1")
    assert status == 0
    assert "2 artefacts go, 2 stay" in text
    assert text.endswith("nothing was done; add --yes to do it\n")
    assert len(list(store.actions())) == 4
    answer = answer("gc", "--keep-last", "1", "--grace", "0", "--yes")
    assert (answer["done"], answer["stay"], len(answer["dropped"])) == (True, 2, 2)
    assert answer["freed"] > 0
    assert len(list(store.actions())) == 2
    assert built(tiny("stage=rpn", "seed=2"))["rpn"].how == "cached"


def test_gc_says_what_is_too_young_for_the_trash(
    tiny: Make, command: Command, answer: Answer, store: Store
) -> None:
    """Its record may be about to be created."""
    built(tiny("stage=rpn"))
    told = answer("gc", "--keep-last", "0", "--yes")
    sizes = [file.stat().st_size for file in store.layout.blobs.glob("??/*")]
    assert (told["waiting"], told["freed"]) == (sum(sizes), 0)
    text = command("gc", "--yes")[1]
    assert "are not old enough for the trash and go there by a later one" in text


def test_gc_tells_of_unfinished_work_first(tiny: Make, command: Command, store: Store) -> None:
    built(tiny("stage=data"))
    for number in range(2):
        work = store.work(f"{number}" * 64)
        (work / "checkpoint").write_bytes(b"step 7")
    text = command("gc", "--unfinished", "0")[1]
    assert "unfinished work of 2 interrupted runs goes\n" in text
    assert len(list((store.layout.base / "work").iterdir())) == 2
    text = command("gc", "--unfinished", "0", "--yes")[1]
    assert "unfinished work of 2 interrupted runs removed\n" in text


def test_gc_says_when_pins_are_too_much(tiny: Make, command: Command) -> None:
    built(tiny("stage=rpn"))
    command("pin", "rpn")
    text = command("gc", "--max-bytes", "1B", "--keep-last", "0")[1]
    assert "0 artefacts go, 2 stay" in text
    assert "too much is left: pins" in text


def test_gc_says_that_requests_cannot_be_read(tiny: Make, command: Command, store: Store) -> None:
    built(tiny("stage=rpn"))
    assert "log of runs" not in command("gc", "--keep-last", "1")[1]
    (log,) = store.layout.runs.iterdir()
    log.write_bytes(log.read_bytes().replace(b'"rpn"', b'"rpm"', 1))
    text = command("gc", "--keep-last", "1")[1]
    assert "damaged lines in the log of runs, not counted as requests: 1; see: unidet ver" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--max-bytes", "50 bananas"), "--max-bytes: '50 bananas' is not a size; give one like"),
        (("--max-bytes", "-5GB"), "--max-bytes: '-5GB' is not a size"),
        (("--keep-last", "x"), "--keep-last: 'x' is not a number of artefacts"),
    ],
)
def test_bad_limits_are_one_line(command: Command, arguments: tuple[str, str], says: str) -> None:
    status, text = command("gc", f"{arguments[0]}={arguments[1]}")
    assert status == 2
    assert says in text
