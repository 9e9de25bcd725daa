"""The study on one page: what stage `report` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.image_sets import ImageSet, open_image_set
from unidet.pipelines.wiring.metrics_table import lvis_table
from unidet.pipelines.wiring.novelty import novelty
from unidet.pipelines.wiring.read_proposals import best_proposals
from unidet.records import Detections
from unidet.report.colours import colour_of, score_colour
from unidet.report.draw import beside, draw_boxes
from unidet.report.page import Page

SHOWN_BOXES = 8


def write_report(job: Job) -> None:
    """Leave `report.html` and the table that the command prints, `summary.txt`."""
    page = Page("unidet: open-world detection study")
    _results(page, job)
    _proposals(page, job)
    _examples(page, job)
    _calibration(page, job)
    _training(page, job)
    _data(page, job)
    (job.out / "report.html").write_text(page.html(), encoding="utf-8")
    # The study's table is what `stage=report` prints; it travels with the page.
    (job.out / "summary.txt").write_text(lvis_table(dict(_metrics(job, "lvis_eval"))) + "\n")


def _artefacts(job: Job, stage: str) -> Iterator[tuple[str, Path]]:
    """Name and folder of every artefact of a stage, evaluation sets in the study's order."""
    for label, folder in job.inputs.items():
        node = Node.parse(label)
        if node is not None and node.stage == stage:
            yield node.name, folder


def _metrics(job: Job, stage: str) -> Iterator[tuple[str, dict[str, float]]]:
    for name, folder in _artefacts(job, stage):
        yield name, json.loads((folder / "metrics.json").read_text())


def _table_of(job: Job, stage: str, first_column: str) -> pd.DataFrame:
    return pd.DataFrame(dict(_metrics(job, stage))).T.reset_index(names=first_column)


def _results(page: Page, job: Job) -> None:
    page.heading("Detection")
    page.paragraph(
        "Average precision over IoU .5:.95; r, c and f are LVIS's rare, common and frequent "
        "categories, novel ones are labelled in no training dataset. AP_shuffled_text is a "
        "control: every name carries another name's embedding (mean of five shuffles); "
        "AP_equal_text is chance: every name carries the same embedding."
    )
    page.table(_table_of(job, "lvis_eval", "evaluation set"))
    for name, folder in _artefacts(job, "lvis_eval"):
        if (folder / "per_category.png").exists():
            page.picture(folder / "per_category.png", f"Each category of {name}.")


def _proposals(page: Page, job: Job) -> None:
    page.heading("Proposals")
    page.paragraph("Class-agnostic recall of the best k proposals of an image.")
    page.table(_table_of(job, "proposals", "set"))


def _examples(page: Page, job: Job) -> None:
    (main, _), *_ = job.settings["data"]["evaluation"]
    data = open_image_set(job, str(Node("data", main)))
    proposals = Sharded(job.inputs[str(Node("proposals", main))] / SHARDS)
    detections = read_results(
        job.inputs[str(Node("lvis_eval", main))] / "detections.json",
        read_ground_truth(data.ground_truth),
    )
    page.heading("Examples")
    page.paragraph(
        "Annotated boxes, proposals tinted by their score, and the best detections; dashed boxes "
        "are novel categories. The images are the first ones, not chosen."
    )
    novel = novelty(job, data.split.categories)
    for row in range(min(job.config.report.examples, len(data.split))):
        boxes = best_proposals(proposals, row, 30)
        page.picture(_example(data, row, boxes, detections, novel), data.caption(row))


def _example(
    data: ImageSet,
    row: int,
    proposals: np.ndarray,
    detections: Detections,
    novel: dict[int, bool],
) -> Image.Image:
    pixels = data.images.read(row)
    boxes, labels, _ = data.split.boxes_of(row)
    annotated = _named(pixels, boxes, labels, data, novel)
    tinted = draw_boxes(
        pixels,
        proposals[::-1, :4],
        [""] * len(proposals),
        colours=[score_colour(score) for score in proposals[::-1, 4]],
    )
    best = detections.take(detections.image_ids == data.split.image_ids[row]).top(SHOWN_BOXES)
    corners = xywh_to_xyxy(best.boxes_xywh)
    place = {category.id: label for label, category in enumerate(data.split.categories)}
    best_labels = np.array([place[int(number)] for number in best.category_ids], np.int64)
    detected = _named(pixels, corners, best_labels, data, novel, best.scores)
    return beside([annotated, tinted, detected], ["annotated", "proposals", "detected"])


def _named(
    pixels: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    data: ImageSet,
    novel: dict[int, bool],
    scores: np.ndarray | None = None,
) -> Image.Image:
    categories = [data.split.categories[int(label)] for label in labels]
    texts = [category.name for category in categories]
    if scores is not None:
        texts = [f"{text} {score:.2f}" for text, score in zip(texts, scores, strict=True)]
    return draw_boxes(
        pixels,
        boxes,
        texts,
        colours=[colour_of(category.name) for category in categories],
        dashed=[novel[category.id] for category in categories],
    )


def _calibration(page: Page, job: Job) -> None:
    sweeps = list(_artefacts(job, "calibration_sweep"))
    if not sweeps:
        return
    page.heading("Calibration")
    page.paragraph(
        "Scores are p^β · η^(1−β), with p divided by prior^γ first. Per-category AP does not see a "
        "per-category factor, so γ acts only where the detections kept in an image are few."
    )
    for name, folder in sweeps:
        page.picture(folder / "sweep.png", f"AP on {name}.")
        page.table(pd.read_csv(folder / "sweep.csv"))


def _training(page: Page, job: Job) -> None:
    page.heading("Training")
    for stage in ("clip", "rpn", "roi"):
        for _, folder in _artefacts(job, stage):
            if (folder / "loss.png").exists():
                page.picture(folder / "loss.png", f"Losses of stage {stage}.")
    for _, metrics in _metrics(job, "clip"):
        page.table(pd.DataFrame([metrics]))


def _data(page: Page, job: Job) -> None:
    page.heading("Data")
    order = job.settings["data"]
    uses = [(name, "training") for name in order["training"]]
    rows = []
    for name, use in [*uses, *map(tuple, order["evaluation"])]:
        data = open_image_set(job, str(Node("data", name)))
        novel = {} if use == "training" else novelty(job, data.split.categories)
        rows.append(
            {
                "set": data.name,
                "use": use,
                "images": len(data.split),
                "boxes": len(data.split.boxes_xyxy),
                "categories": len(data.split.categories),
                "novel": sum(novel.values()),
            }
        )
    page.table(pd.DataFrame(rows))
