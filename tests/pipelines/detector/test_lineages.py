"""Networks are taken of one lineage, on stages that do almost nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from studies import built, writing

from unidet.config.compose import compose
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.detector.from_study import find, lineage_for
from unidet.pipelines.detector.lineages import lineage_at
from unidet.pipelines.engine import graph
from unidet.pipelines.engine.engine import open_store
from unidet.store.hashing import key_of
from unidet.store.record import Action
from unidet.store.store import Store

Make = Callable[..., Config]
READY = "clip_embeddings=bench"  # so that no text encoder is asked for


def test_the_proposal_network_is_the_one_that_the_roi_head_was_trained_on(
    tiny: Make, code: dict[str, str]
) -> None:
    done = built(tiny("stage=roi", "seed=1", READY))
    newer = built(tiny("stage=rpn", "seed=2", READY))  # of the same settings, on other data
    lineage = lineage_for(tiny(READY), open_store(tiny()))
    assert lineage.folder("rpn") == done["rpn"].folder
    assert lineage.folder("roi") == done["roi"].folder
    assert lineage.folder("rpn") != newer["rpn"].folder


def test_networks_of_other_settings_are_not_taken(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi", "rpn.network.alpha=0.9", READY))
    with pytest.raises(UserError, match="nothing trained for experiment 'toy'"):
        lineage_for(tiny(READY), open_store(tiny()))


def test_a_closed_set_network_needs_no_roi_head(tiny: Make, code: dict[str, str]) -> None:
    closed = ("rpn=nanodet_plus_m_416", "rpn.classes=dataset", "rpn.training.epochs=0", READY)
    done = built(tiny("stage=coco_eval", *closed))
    lineage = lineage_for(tiny(*closed), open_store(tiny()))
    assert lineage.head.stage == "rpn"
    assert lineage.folder("coco_eval") == done["coco_eval"].folder


def test_an_artefact_shows_its_own_lineage_and_a_store_the_newest(
    tiny: Make, code: dict[str, str]
) -> None:
    old = built(tiny("stage=report", "seed=1", "report.examples=3"))
    new = built(tiny("stage=report", "seed=2", "report.examples=3"))
    store = Path(tiny().store.root)
    for done in (old, new):
        for stage in ("rpn", "roi", "report"):
            lineage = lineage_at(done[stage].folder)
            assert lineage is not None
            if stage != "rpn":
                assert lineage.folder("roi") == done["roi"].folder
                assert lineage.folder("report") == done["report"].folder
            assert lineage.folder("rpn") == done["rpn"].folder
    newest = lineage_at(store)
    assert newest is not None
    assert newest.folder("roi") == new["roi"].folder
    with pytest.raises(UserError, match="comes before any network"):
        lineage_at(old["data"].folder)
    assert lineage_at(store.parent) is None
    assert lineage_at(store / "nowhere") is None


def test_a_study_s_settings_are_those_it_was_made_with(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi", "rpn.network.alpha=0.9", "roi.network.scale=7"))
    folder = Path(tiny().store.root)
    _, config = find(folder, None, ["detection.nms=0.25", "roi.network.bias=-1"])
    assert (config.rpn.network.alpha, config.roi.network.scale) == (0.9, 7)  # type: ignore[union-attr]
    assert (config.detection.nms, config.roi.network.bias) == (0.25, -1)


def test_another_training_than_its_networks_had_is_refused(
    tiny: Make, code: dict[str, str]
) -> None:
    built(tiny("stage=roi", "rpn.training.steps=9"))
    folder = Path(tiny().store.root)
    with pytest.raises(UserError, match="steps=8: the newest network in "):
        find(folder, None, ["rpn.training.steps=8"])
    _, config = find(folder, None, ["rpn.training.steps=9"])
    assert config.rpn.training.steps == 9


@pytest.mark.parametrize("config", [None, {"data": "x", "rpn": "ab"}, {"data": {"source": 5}}])
def test_strange_records_among_a_study_s_are_no_traceback(
    tmp_path: Path, config: dict[str, object] | None
) -> None:
    """As a remote may hold them: what is recorded otherwise says nothing."""
    store, above = Store(tmp_path), {}
    for stage in ("data", "rpn"):
        preimage = {"stage": stage, **({} if config is None else {"config": config})}
        draft = store.draft(key_of(preimage))
        (draft / "value").touch()
        put = partial(store.publish, key_of(preimage), preimage, stage, draft, started=0.0)
        above = {stage: put(inputs=above)}
    lineage, _ = find(tmp_path, None, [])
    assert (lineage.is_toy, lineage.recorded) == (False, {})
    with pytest.raises(UserError, match="nothing trained"):
        lineage_for(compose(["experiment=toy"]), store)


UNION = {"proposals.merge": ["toy", "b"], "proposals.merge_nms": 0.9}


@pytest.mark.parametrize(
    "odd",
    [
        {"proposals.merge": 5},
        {"proposals.merge": [["toy"], "b"]},
        {"proposals.merge_nms": None},
        {"proposals.merge": ["toy", "another"]},
        "one of the networks is gone",
        {},
    ],
)
def test_networks_that_propose_together_are_all_known_or_none(
    tmp_path: Path, odd: dict[str, object] | str
) -> None:
    store = Store(tmp_path)

    def put(stage: str, name: str, inputs: dict[str, Action], **config: object) -> Action:
        preimage = {"stage": stage, "name": name, "config": config}
        draft = store.draft(key_of(preimage))
        (draft / "value").write_text(name)
        options = {"name": name, "started": 0.0, "inputs": inputs}
        return store.publish(key_of(preimage), preimage, stage, draft, **options)

    networks = {name: put("rpn", name, {}) for name in ("toy", "b")}
    dumps = {
        f"proposals[{name}]": put("proposals", f"val@{name}", {"rpn": network})
        for name, network in networks.items()
    }
    union = put("proposals", "val", dumps, **{**UNION, **(odd if isinstance(odd, dict) else {})})
    put("roi", "", {"proposals[val]": union})
    if isinstance(odd, str):
        store.layout.record(networks["b"].key).unlink()
    lineage = lineage_at(tmp_path)
    assert lineage is not None
    assert lineage.proposers == ({} if odd else networks)
    assert lineage.recorded.get("proposers", {}) == {}
    if odd:
        with pytest.raises(UserError, match="rpn: not in this study"):
            lineage.folder("rpn")


def test_a_store_without_networks_says_what_helps(tiny: Make) -> None:
    store = tiny().store.root
    with pytest.raises(UserError, match=r"no study: the store .* holds no trained network; train"):
        find(None, store, [])
    with pytest.raises(UserError, match="nothing trained for experiment 'toy'"):
        find("toy", store, [])
    with pytest.raises(UserError, match="experiment: there is no 'photographs'"):
        find("photographs", store, [])


FINE_TUNED = (READY, "finetune=toy", "data.new_scenes=4")


@pytest.fixture
def fine_tuning(code: dict[str, str]) -> None:
    """A stage more, after `roi`: one head that keeps old names, another to compare with."""
    tuned = writing("finetune", ("finetune",), ("roi",))
    graph.STAGES["finetune"] = replace(
        tuned,
        nodes=lambda config: ("rehearsal", "plain"),
        settings=lambda config, name: {"network": name},
    )


@pytest.mark.usefixtures("fine_tuning")
def test_a_fine_tuned_study_has_the_head_that_it_ends_with(tiny: Make) -> None:
    before = built(tiny("stage=roi", READY))
    store = open_store(tiny())
    with pytest.raises(UserError, match="finetune: nothing trained for experiment 'toy'"):
        lineage_for(tiny(*FINE_TUNED), store)
    after = built(tiny("stage=finetune", *FINE_TUNED))
    for lineage in (lineage_for(tiny(*FINE_TUNED), store), lineage_at(store.root)):
        assert lineage is not None
        assert lineage.head.output == after["finetune[rehearsal]"].action.output
        assert lineage.folder("roi") == before["roi"].folder
    assert lineage_for(tiny(READY), store).head.stage == "roi"
    plain = lineage_at(after["finetune[plain]"].folder)
    assert plain is not None
    assert plain.head.label == "finetune[plain]"


def test_a_network_of_other_values_is_told(tiny: Make, code: dict[str, str]) -> None:
    built(tiny("stage=roi", "roi.training.steps=8", READY))
    store = open_store(tiny())
    message = rf"roi.training.steps was 8, is 3; the network that is there: --study {store.root}"
    with pytest.raises(UserError, match=message):
        lineage_for(tiny(READY), store)
