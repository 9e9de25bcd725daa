"""Proposals and results between our study, mmdet's pickles and JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unidet.config.study import Config
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
from unidet.ops.numpy_boxes import xyxy_to_xywh
from unidet.pipelines.engine.shards import Sharded
from unidet.pipelines.engine.states import artefact_folder
from unidet.pipelines.wiring.datasets import Datasets, Judged
from unidet.records import Detections
from unidet.weights.read import read_pickle
from unidet.weights.write import whole_file, write_pickle

STAGES = ("proposals", "lvis_eval")


@dataclass(frozen=True)
class Found:
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
    if not target.parent.is_dir():
        raise UserError(f"{destination}: there is no folder {target.parent}; make it first")
    stage, colon, dataset = source.partition(":")
    if colon and stage in STAGES:
        found = _of_the_study(stage, dataset, study())
    elif annotations is None:
        raise UserError(
            f"{source}: --annotations FILE says which images and categories these are (a source "
            f"in the study, {' or '.join(f'{name}:DATASET' for name in STAGES)}, needs none)"
        )
    else:
        found = _of_a_file(Path(source), read_order(Path(annotations)), proposals)
    try:
        _write(target, found)
    except OSError as fault:
        raise UserError(f"{destination}: cannot be written ({fault.strerror})") from None
    what = "proposals" if found.are_proposals else "detections"
    images = len(found.order.image_ids)
    return f"{destination}: {len(found.detections)} {what} in {images} images"


def _write(target: Path, found: Found) -> None:
    if target.suffix == ".json":
        with whole_file(target) as partial:
            write_results(partial, found.detections, exact=True)
    elif found.are_proposals:
        write_pickle(target, proposal_arrays(found.detections, found.order))
    else:
        write_pickle(target, result_arrays(found.detections, found.order))


def _of_a_file(path: Path, order: Order, proposals: bool) -> Found:
    if path.suffix == ".json":
        return Found(read_json_detections(path, order, proposals=proposals), order, proposals)
    if path.suffix != ".pkl":
        raise UserError(
            f"{path}: must be .pkl, .json, or {' or '.join(f'{name}:DATASET' for name in STAGES)}"
        )
    contents = read_pickle(path)
    if is_proposals(contents):
        return Found(proposals_of(path, contents, order), order, True)
    return Found(results_of(path, contents, order), order, False)


def _of_the_study(stage: str, name: str, config: Config) -> Found:
    folder, data = _artefact(stage, config), _artefact("data", config)
    datasets = Datasets(data, config.data)
    judged = {one.name: one for one in datasets.judged()}
    if stage == "lvis_eval":
        dataset = judged.get(name) or _unknown(stage, name, judged)
        order = read_order(dataset.ground_truth)
        place = folder if name == next(iter(judged)) else folder / name
        results = place / "detections.json"
        return Found(read_json_detections(results, order, proposals=False), order, False)
    training = {one.name: one for one in datasets.training()}
    if name in training:
        split, rows = training[name].split, np.arange(len(training[name].split))
        dumped = Sharded(folder / "training" / name)
    else:
        dataset = judged.get(name) or _unknown(stage, name, [*training, *judged])
        split, rows = dataset.split, dataset.rows
        dumped = Sharded(folder / "images" / dataset.image_set)
    if not len(dumped):
        raise UserError(f"{stage}:{name}: left out of the stage; give it proposals.training=true")
    order = Order(name, split.image_ids, np.array([PROPOSAL_CATEGORY]))
    return Found(_dumped_proposals(dumped, rows, split.image_ids), order, True)


def _unknown(stage: str, name: str, known: Sequence[str] | dict) -> Judged:
    raise UserError(f"{stage}:{name}: no such dataset; there are {', '.join(known)}")


def _artefact(stage: str, config: Config) -> Path:
    folder = artefact_folder(stage, config)
    if folder is None:
        raise UserError(f"{stage} is not built; run: unidet stage={stage}")
    return folder


def _dumped_proposals(dumped: Sharded, rows: np.ndarray, image_ids: np.ndarray) -> Detections:
    """The proposals at `rows` of the shards, as detections in the images with `image_ids`."""
    ascending = np.argsort(rows, kind="stable")  # shards are read one after another
    parts = [dumped.of(int(rows[place])) for place in ascending]
    counts = [len(part["scores"]) for part in parts]
    boxes = xyxy_to_xywh(np.concatenate([part["boxes_xyxy"] for part in parts]).astype(np.float64))
    return Detections(
        np.repeat(image_ids[ascending], counts),
        np.full(len(boxes), PROPOSAL_CATEGORY),
        boxes,
        np.concatenate([part["scores"] for part in parts]),
    )
