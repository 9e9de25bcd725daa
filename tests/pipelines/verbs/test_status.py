"""`status` and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from studies import built

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine import engine, graph

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]


def test_status_check_exits_with_3_unless_all_is_fresh(tiny: Make, command: Command) -> None:
    assert command("status", "--check")[0] == 3
    built(tiny("stage=report"))
    assert command("status", "--check")[0] == 0
    assert command("status", "--check", "roi.training.steps=9")[0] == 3
    status, text = command("status", "rpn.training.steps=9")
    assert status == 0
    rows = {row.split()[0]: " ".join(row.split()[1:]) for row in text.splitlines()}
    assert rows["rpn"] == "stale its configuration, inputs or code changed"
    assert rows["roi"] == "stale waits for proposals; stays if its content does"


def test_lost_content_is_no_change(tiny: Make, command: Command) -> None:
    done = built(tiny("stage=rpn"))["rpn"]
    file = next(iter(done.action.files.values()))
    engine.open_store(tiny()).layout.blob(file.sha256).unlink()
    rows = {line.split()[0]: line.split()[1:] for line in command("status")[1].splitlines()}
    assert rows["rpn"][:8] == ["stale", "content", "of", "it", "is", "gone", "from", "the"]
    assert rows["data"][0] == "fresh"


def test_a_missing_file_blocks_its_artefact_and_is_told(
    tiny: Make, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(config: Config, name: str) -> dict[str, Path]:
        raise UserError("clip_embeddings.files.a: a.npy does not exist")

    stage = replace(graph.STAGES["rpn"], files=absent)
    monkeypatch.setitem(graph.STAGES, "rpn", stage)
    built(tiny("stage=data"))
    status, text = command("status")
    assert status == 0
    lines = text.splitlines()
    assert lines[0].split()[:2] == ["data", "fresh"]
    assert lines[1].split()[:2] == ["rpn", "blocked"]
    assert "a.npy does not exist" in " ".join(lines[1:3])
    assert ["proposals", "missing"] in [line.split()[:2] for line in lines]


def test_a_foreign_file_in_an_artefact_blocks_it_and_the_rest_is_told(
    tiny: Make, command: Command
) -> None:
    done = built(tiny("stage=rpn"))
    (done["data"].folder / "notes.txt").touch()
    status, text = command("status", "--json")
    states = {row["node"]: row for row in json.loads(text)}
    assert status == 0
    assert states["data"]["state"] == "blocked"
    assert "notes.txt is not part of this artefact" in states["data"]["reason"]
    assert states["rpn"]["state"] == "fresh"
    assert command("status", "--check")[0] == 3


def test_a_misspelt_set_is_suggested(tiny: Make) -> None:
    with pytest.raises(
        UserError, match=r"there is no data\[traning/a\]; did you mean 'training/a'"
    ):
        graph.targets("data:traning/a", tiny())


def test_where_only_the_state_was_asked_for_is_no_store(tiny: Make, command: Command) -> None:
    """Its caches made `verify` find nothing wrong, and `push` end well, in a misspelt folder."""
    engine.open_store(tiny()).layout.stat_cache.mkdir(parents=True)
    assert command("status")[0] == 0
    for verb in (("verify",), ("gc",), ("pin",), ("push", "--remote", "elsewhere")):
        status, text = command(*verb)
        assert status == 2
        assert "nothing is stored in" in text
