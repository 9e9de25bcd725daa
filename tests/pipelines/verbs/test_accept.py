"""`accept`: rewritten code whose results are the same."""

from __future__ import annotations

from collections.abc import Callable

from studies import built

from unidet.config.study import Config

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]


def test_accepted_code_reruns_nothing(tiny: Make, command: Command, code: dict[str, str]) -> None:
    built(tiny("stage=roi"))
    built(tiny("stage=rpn", "rpn.training.steps=9"))
    code["unidet.a"] = "rewritten"
    assert command("accept", "rpn")[1].startswith("unidet: rpn: its input data is not fresh")
    for stage in ("data", "rpn", "proposals", "roi"):
        assert command("accept", stage)[0] == 0
    done = built(tiny("stage=roi"))
    assert {one.how for one in done.values()} == {"cached"}
    # Under another configuration too.
    assert built(tiny("stage=rpn", "rpn.training.steps=9"))["rpn"].how == "cached"
    assert command("accept", "roi") == (0, "roi: fresh, nothing to accept\n")
    assert "accepted as equivalent" in command("why", "roi")[1]
    assert "accepted for code" in command("lineage", "roi")[1]
    assert "code accepted" in command("status")[1]


def test_code_may_be_accepted_again_and_again(
    tiny: Make, command: Command, code: dict[str, str]
) -> None:
    built(tiny("stage=data"))
    code["unidet.a"] = "second"
    assert command("accept", "data")[0] == 0
    built(tiny("stage=data", "seed=5"))  # an artefact of the second code
    code["unidet.a"] = "third"
    assert command("accept", "data", "seed=5")[0] == 0
    for seed in ("seed=0", "seed=5"):
        assert built(tiny("stage=data", seed))["data"].how == "cached"


def test_what_was_accepted_can_be_taken_back(
    tiny: Make, command: Command, code: dict[str, str]
) -> None:
    built(tiny("stage=data"))
    code["unidet.a"] = "wrong"
    assert command("accept", "data")[0] == 0
    assert command("accept", "data", "--revoke")[0] == 0
    assert command("accept", "data", "--revoke")[0] == 2
    assert built(tiny("stage=data"))["data"].how == "ran"


def test_only_a_change_of_code_can_be_accepted(
    tiny: Make, command: Command, code: dict[str, str]
) -> None:
    built(tiny("stage=rpn"))
    code["unidet.a"] = "rewritten"
    assert command("accept", "data")[0] == 0
    status, text = command("accept", "rpn", "rpn.network.alpha=0.9")
    assert status == 2
    assert "no artefact differs from it in nothing but its code" in text
    assert command("accept", "nothing")[0] == 2
    assert command("accept", "nothing", "--revoke")[0] == 2
