"""Several networks that propose in one study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from studies import bare_job, built

from unidet.config.study import Config
from unidet.pipelines.detector.lineages import lineage_at
from unidet.pipelines.detector.model import load
from unidet.pipelines.detector.opened_study import open_study
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.engine.graph import needed, targets
from unidet.pipelines.engine.keys import preimage_of
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.shards import SHARDS, Columns, Sharded, ShardSet
from unidet.pipelines.stages.coco_eval import STAGE as COCO_EVAL
from unidet.pipelines.wiring.merged_proposals import merged_results

Make = Callable[..., Config]
TINY = ("training.steps=3", "training.batch_size=2")
MERGE = (
    "proposals.merge=[toy,toy_rpn]",
    *(f"proposers.{name}.{value}" for name in ("toy", "toy_rpn") for value in TINY),
)


def test_each_network_has_its_nodes_and_runs_before_their_union(tiny: Make) -> None:
    config = tiny(*MERGE)
    nodes = list(map(str, needed("lvis_raw", config)))
    assert [node for node in nodes if node.startswith("rpn")] == ["rpn[toy]", "rpn[toy_rpn]"]
    for name in ("val", "dev", "training/a", "training/b"):
        union = nodes.index(f"proposals[{name}]")
        assert nodes.index(f"proposals[{name}@toy]") < union
        assert nodes.index(f"proposals[{name}@toy_rpn]") < union
    assert str(targets("proposals", config)[0]) == "proposals[val]"
    assert COCO_EVAL.nodes(tiny(*MERGE, "rpn.classes=dataset")) == ()


def test_a_network_s_artefacts_are_those_of_a_study_with_it_alone(tiny: Make) -> None:
    merged, alone = tiny(*MERGE), tiny("rpn=toy_rpn")
    store = open_store(merged)
    for one_of_several, alone_node in (
        (Node("rpn", "toy_rpn"), Node("rpn")),
        (Node("proposals", "val@toy_rpn"), Node("proposals", "val")),
    ):
        preimage = preimage_of(one_of_several, merged, store, {})
        assert preimage == preimage_of(alone_node, alone, store, {})


def test_the_union_depends_on_its_networks_and_nms_alone(tiny: Make) -> None:
    def preimage(*overrides: str) -> object:
        config = tiny(*overrides)
        return preimage_of(Node("proposals", "val"), config, open_store(config), {})

    assert preimage(*MERGE) == preimage(*MERGE, "rpn=toy_detr")
    assert preimage(*MERGE) != preimage(*MERGE, "proposals.merge_nms=0.5")
    assert preimage(*MERGE) != preimage(*MERGE, "proposals.merge=[toy_rpn,toy]")


def dumped(folder: Path, boxes: list[list[float]]) -> Path:
    """An artefact with these boxes of its one image, best first."""

    class Silent:
        def update(self, done: int, total: int, note: str = "") -> None: ...

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        scores = np.linspace(0.9, 0.8, len(boxes), dtype=np.float32)
        yield 0, {"boxes_xyxy": np.array(boxes, np.float32), "scores": scores}

    shards = ShardSet(SHARDS, images=1, per_shard=1)
    shards.fill(folder / "work", results, lambda row: bytes(32), Silent())
    shards.gather(folder / "work", folder / "out")
    return folder / "out"


def test_the_union_of_an_image(tiny: Make, tmp_path: Path) -> None:
    left, right = [0.0, 0, 10, 10], [20.0, 0, 30, 10]
    job = bare_job(
        tmp_path,
        config=tiny(*MERGE, "proposals.keep=4"),
        inputs={
            "proposals[toy]": dumped(tmp_path / "a", [left]),
            "proposals[toy_rpn]": dumped(tmp_path / "b", [right, left]),
        },
    )
    ((row, columns),) = merged_results(job)([0])
    assert row == 0
    assert columns["boxes_xyxy"].tolist() == [left, right]
    assert columns["scores"].tolist() == [1, 1]


@pytest.mark.slow
def test_a_study_with_two_networks(tiny: Make) -> None:
    """Both are trained, the study goes on with their union, and its model proposes the same."""
    alone = built(tiny("stage=proposals:val", "rpn=toy_rpn"))
    done = built(tiny("stage=report", *MERGE))
    assert {done[name].how for name in ("rpn[toy_rpn]", "proposals[val@toy_rpn]")} == {"cached"}
    assert done["rpn[toy_rpn]"].folder == alone["rpn"].folder
    lineage = lineage_at(done["roi"].folder)
    assert lineage is not None
    assert list(lineage.proposers) == ["toy", "toy_rpn"]
    stored = Sharded(done["proposals[val]"].folder / SHARDS).of(0)
    pixels = open_study(done["roi"].folder).images("val").images.read(0)
    proposed = load(done["roi"].folder).proposals(np.array(pixels))
    np.testing.assert_allclose(proposed[:, :4], stored["boxes_xyxy"], atol=1e-2)
