"""Proposals and results between our study, mmdet's pickles and JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unidet.config.study import Config
from unidet.counts import counted
from unidet.errors import UserError
from unidet.formats.mmdet_pickles import (
    PROPOSAL_CATEGORY,
    Order,
    is_proposals,
    proposal_arrays,
    proposals_of,
    read_json_detections,
    read_order,
    result_arrays,
    results_of,
)
from unidet.formats.results import write_results
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.engine.graph import targets
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.engine.states import current
from unidet.pipelines.wiring.image_sets import GROUND_TRUTH, image_set_at
from unidet.pipelines.wiring.read_proposals import all_proposals
from unidet.records import Detections
from unidet.store.disk import check_target, whole_file
from unidet.weights.read import read_pickle
from unidet.weights.write import write_pickle

STAGES = ("proposals", "lvis_eval")


@dataclass(frozen=True)
class OrderedDetections:
    """Detections, or proposals as detections of one category, and the order mmdet has them in."""

    detections: Detections
    order: Order
    are_proposals: bool


def interchange_files(
    source: str,
    destination: str,
    annotations: str | None,
    proposals: bool,
    study: Callable[[], Config],
) -> str:
    """Writes `destination` in one step; says what it holds.

    Args:
        source: `.pkl`, `.json`, or STAGE:DATASET for a part of the study's artefacts.
        destination: `.pkl` as mmdet has it, or `.json` as COCO and LVIS have it.
        annotations: the COCO or LVIS file with the images and categories; a source in the study
            knows its own.
        proposals: a `.json` source holds proposals, whose category means nothing.
        study: composes the configuration.

    Raises:
        UserError: a file that cannot be read or does not fit its annotations; a stage that is not
            built or a dataset it has not.
    """
    target = Path(destination)
    if target.suffix not in (".pkl", ".json"):
        raise UserError(f"{destination}: must end in .pkl (mmdet) or .json (COCO, LVIS)")
    check_target(target, inputs=(source, annotations))
    stage, colon, dataset = source.partition(":")
    if colon and stage in STAGES:
        ordered = _of_the_study(stage, dataset, study())
    elif annotations is None:
        raise UserError(
            f"{source}: --annotations FILE says which images and categories these are (a source "
            f"in the study, {' or '.join(f'{name}:DATASET' for name in STAGES)}, needs none)"
        )
    else:
        ordered = _of_a_file(Path(source), read_order(Path(annotations)), proposals)
    _write(target, ordered)
    kind = "proposal" if ordered.are_proposals else "detection"
    found, images = len(ordered.detections), len(ordered.order.image_ids)
    return f"{destination}: {counted(found, kind)} in {counted(images, 'image')}"


def _write(target: Path, ordered: OrderedDetections) -> None:
    if target.suffix == ".json":
        with whole_file(target) as partial:
            write_results(partial, ordered.detections, exact=True)
    elif ordered.are_proposals:
        write_pickle(target, proposal_arrays(ordered.detections, ordered.order))
    else:
        write_pickle(target, result_arrays(ordered.detections, ordered.order))


def _of_a_file(path: Path, order: Order, proposals: bool) -> OrderedDetections:
    if path.suffix == ".json":
        return OrderedDetections(
            read_json_detections(path, order, proposals=proposals), order, proposals
        )
    if path.suffix != ".pkl":
        raise UserError(
            f"{path}: must be .pkl, .json, or {' or '.join(f'{name}:DATASET' for name in STAGES)}"
        )
    contents = read_pickle(path)
    if is_proposals(contents):
        return OrderedDetections(proposals_of(path, contents, order), order, True)
    return OrderedDetections(results_of(path, contents, order), order, False)


def _of_the_study(stage: str, name: str, config: Config) -> OrderedDetections:
    (node,) = targets(f"{stage}:{name}", config)
    folder, data = _artefact(node, config), _artefact(Node("data", node.name), config)
    if stage == "lvis_eval":
        order = read_order(data / GROUND_TRUTH)
        results = folder / "detections.json"
        return OrderedDetections(
            read_json_detections(results, order, proposals=False), order, False
        )
    split = image_set_at(data, None, node.name).split
    order = Order(str(node), split.image_ids, np.array([PROPOSAL_CATEGORY]))
    return OrderedDetections(
        all_proposals(Sharded(folder / SHARDS), split.image_ids, PROPOSAL_CATEGORY), order, True
    )


def _artefact(node: Node, config: Config) -> Path:
    store = open_store(config)
    action = current(str(node), config, store)[node]
    if action is None:
        raise UserError(f"{node} is not built; run stage={node.stage} of this study")
    return store.intact_folder(action)
