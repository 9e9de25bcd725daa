"""Proposals for training a RoI head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.image_sets import ImageSet
from unidet.pipelines.wiring.read_proposals import best_proposals
from unidet.pipelines.wiring.study_sets import TRAINING

if TYPE_CHECKING:
    from unidet.data.loader import Proposals


def training_proposals(job: Job, data: ImageSet) -> Proposals:
    """Those of the images of a training set: rows to (P, 5), read when they are asked for."""
    folder = job.inputs[str(Node("proposals", f"{TRAINING}{data.name}"))]
    dumped = Sharded(folder / SHARDS)
    count = job.config.roi.proposals_per_image
    return lambda row: best_proposals(dumped, row, count)
