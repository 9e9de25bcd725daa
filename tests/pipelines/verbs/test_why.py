"""`why` names the cause and nothing else, on stages that do almost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from studies import built

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine import engine, keys
from unidet.pipelines.engine.changes import lines, why
from unidet.pipelines.wiring.study_sets import key_as_given

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]


def told(config: Config, stage: str = "roi") -> list[str]:
    (answer,) = why(stage, config)
    first, *rest = lines(answer)
    assert first.startswith(f"{stage}: stale, compared with the artefact of ")
    return [line.strip() for line in rest]


def test_fresh_and_never_built(tiny: Make, code: dict[str, str]) -> None:
    assert lines(why("roi", tiny())[0]) == ["roi: not built"]
    built(tiny("stage=roi"))
    assert lines(why("roi", tiny())[0])[0].startswith("roi: fresh, built 20")


def test_the_stage_s_own_value(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi"))
    assert told(tiny("roi.training.steps=4")) == ["config roi.training.steps 3 → 4"]


def test_long_values_are_shown_where_they_differ(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi", "roi.images.mean=[127.515,127.525,127.535]"))
    assert told(tiny("roi.images.mean=[127.515,127.525,127.545]")) == [
        "config roi.images.mean …7.525, 127.535] → …7.525, 127.545]"
    ]


def test_a_data_set_s_values_have_the_names_that_a_person_gives(tiny: Make) -> None:
    folder = "data.evaluation.extra"
    names = {
        ("extra", "data.source.limit"): f"{folder}.limit",
        ("extra", "data.style"): f"{folder}.style",
        ("training/own", "data.source.images"): "data.training.own.images",
        ("training/a", "data.source.scenes"): "data.train_scenes",
        ("dev", "data.source.scenes"): "data.dev_scenes",
        ("clip/crops", "data.source.test"): "data.clip_test_scenes",
        ("val", "data.source.seed"): "seed",
    }
    own = "{annotations: a.json, images: i, vocabulary: v}"
    study = tiny(f"+{folder}={own[:-1]}, style: coco}}", f"+data.training.own={own}")
    assert {pair: key_as_given(study, *pair) for pair in names} == names


def test_a_value_two_stages_up_is_named(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi", "rpn.network.alpha=0.3"))
    changed = tiny("stage=roi", "rpn.network.alpha=0.9")
    expected = ["input proposals changed ← rpn.network.alpha 0.3 → 0.9"]
    assert told(changed) == expected
    # And the same once everything upstream has been built.
    built(tiny("stage=proposals", "rpn.network.alpha=0.9"))
    assert told(changed) == expected


def test_of_several_earlier_ones_the_nearest_counts(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi", "roi.training.steps=5"))
    built(tiny("stage=roi", "roi.training.steps=9", "roi.training.batch_size=4"))
    changed = tiny("roi.training.steps=6")
    assert told(changed) == ["config roi.training.steps 5 → 6"]


def test_the_nearest_has_the_nearest_inputs(tiny: Make, code: dict[str, str]) -> None:
    """Although none of these inputs is up to date, so that the contents do not tell."""
    built(tiny("stage=roi", "rpn.network.alpha=0.3"))
    built(tiny("stage=roi", "rpn.network.alpha=0.9"))
    changed = tiny("rpn.network.alpha=0.3", "rpn.training.steps=4")
    assert told(changed) == ["input proposals changed ← rpn.training.steps 3 → 4"]


def test_accepted_code_is_no_reason(tiny: Make, command: Command, code: dict[str, str]) -> None:
    done = built(tiny("stage=roi"))
    code["unidet.a"] = "rewritten"
    for stage in ("data", "rpn", "proposals", "roi"):
        assert command("accept", stage)[0] == 0
    assert told(tiny("roi.training.steps=4")) == ["config roi.training.steps 3 → 4"]
    store = engine.open_store(tiny())
    for file in done["roi"].action.files.values():
        store.layout.blob(file.sha256).unlink()
    assert told(tiny()) == ["content missing, or made again with another result"]
    assert "content of it is gone from the store" in command("status", "stage=roi")[1]


def test_another_set_is_nothing_to_compare_with(tiny: Make) -> None:
    built(tiny("stage=data:val"))
    (answer,) = why("data:dev", tiny())
    assert lines(answer) == ["data[dev]: not built"]


def test_code_names_the_modules(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=data"))
    code["unidet.a"] = "2"
    del code["unidet.b"]
    code["unidet.c"] = "1"
    assert told(tiny(), "data") == [
        "code unidet.a changed",
        "code unidet.b no longer used",
        "code unidet.c added",
    ]


def test_code_that_many_inputs_reach_is_named_once(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi"))
    code["unidet.a"] = "2"
    assert told(tiny()) == [
        "code unidet.a changed",
        "input data changed ← data and 2 more: code unidet.a changed",
    ]


def test_packages(tiny: Make, code: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    built(tiny("stage=data"))
    installed = keys._version("numpy")
    monkeypatch.setattr(keys, "_version", lambda name: "9.9" if name == "numpy" else "absent")
    monkeypatch.setattr(keys, "KEYED_PACKAGES", ("numpy",))
    assert f"env numpy {installed} → 9.9" in told(tiny(), "data")


def test_lost_content_is_said(tiny: Make, code: dict[str, str]) -> None:
    done = built(tiny("stage=rpn"))["data"]
    store = engine.open_store(tiny())
    for file in done.action.files.values():
        store.layout.blob(file.sha256).unlink()
    assert told(tiny(), "rpn") == [
        "input data changed ← data: content missing, or made again with another result"
    ]


def test_json_keeps_the_way_to_the_cause(tiny: Make, answer: Callable[..., Any]) -> None:
    built(tiny("stage=roi", "seed=1"))
    changes = answer("why", "roi", "seed=2")["changes"]
    change = next(change for change in changes if change["name"] == "proposals")
    seed = change["causes"][0]["causes"][0]["causes"][0]
    assert (seed["kind"], seed["name"], seed["old"], seed["new"]) == ("config", "seed", "1", "2")


def test_an_unknown_stage_lists_the_stages(tiny: Make, code: dict[str, str]) -> None:
    with pytest.raises(UserError, match="there are data, rpn, proposals, roi, report, coco_eval"):
        why("rio", tiny())
