"""The proposals of several networks together: `proposals.merge=[A,B]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.shards import SHARDS, Columns, Results, Sharded
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.read_proposals import best_proposals
from unidet.pipelines.wiring.study_sets import of_network


def parts(config: Config, name: str) -> Mapping[str, Input]:
    """What each network has proposed on a set, by what a job calls it."""
    return {
        _label(network): Input(Node("proposals", of_network(name, network)))
        for network in config.proposals.merge
    }


def settings(config: Config) -> dict[str, Any]:
    """What the union depends on beside its parts; their order decides between equal ranks."""
    return {
        "proposals.merge": config.proposals.merge,
        "proposals.merge_nms": config.proposals.merge_nms,
    }


def merged_results(job: Job) -> Results:
    """The best `keep` boxes that the networks together have of an image."""
    from unidet.evaluation.proposal_union import union

    folders = [job.inputs[_label(network)] for network in job.config.proposals.merge]
    dumps = [Sharded(folder / SHARDS) for folder in folders]
    keep, nms = job.config.proposals.keep, job.config.proposals.merge_nms

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        for row in rows:
            best = union([best_proposals(dumped, row, keep) for dumped in dumps], keep, nms)
            yield row, {"boxes_xyxy": best[:, :4], "scores": best[:, 4]}

    return results


def _label(network: str) -> str:
    return f"proposals[{network}]"
