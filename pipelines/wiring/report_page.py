"""The study on one page: what stage `report` writes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from PIL import Image

from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pipelines.engine.shards import Sharded
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.stages import lvis_eval
from unidet.pipelines.wiring.datasets import Datasets, ImageSet, Judged
from unidet.pipelines.wiring.dumped_proposals import best_proposals
from unidet.records import Detections
from unidet.report.draw import beside, colour_of, draw_boxes, score_colour
from unidet.report.page import Page

SHOWN_BOXES = 8


def write_report(job: Job) -> None:
    """Leave `report.html` and the table that the command prints, `summary.txt`."""
    datasets = Datasets(job.inputs["data"], job.config.data)
    page = Page("unidet: open-world detection study")
    _results(page, job)
    _proposals(page, job)
    _examples(page, job, datasets)
    _calibration(page, job)
    _training(page, job)
    _data(page, datasets)
    (job.out / "report.html").write_text(page.html(), encoding="utf-8")
    # The study's table is what `stage=report` prints; it travels with the page.
    (job.out / "summary.txt").write_text(lvis_eval.summary(job.inputs["lvis_eval"]) + "\n")


def _results(page: Page, job: Job) -> None:
    folder = job.inputs["lvis_eval"]
    metrics = json.loads((folder / "datasets.json").read_text())
    page.heading("Detection")
    page.paragraph(
        "Average precision over IoU .5:.95; r, c and f are LVIS's rare, common and frequent "
        "categories, novel ones are labelled in no training dataset. AP_shuffled_text is a "
        "control: every name carries another name's embedding (mean of five shuffles); "
        "AP_equal_text is chance: every name carries the same embedding."
    )
    page.table(pd.DataFrame(metrics).T.reset_index(names="dataset"))
    bars = folder / "per_category.png"
    if bars.exists():
        page.picture(bars, "Each category of the main dataset.")


def _proposals(page: Page, job: Job) -> None:
    metrics = json.loads((job.inputs["proposals"] / "metrics.json").read_text())
    rows = {name: values for name, values in metrics.items() if isinstance(values, dict)}
    page.heading("Proposals")
    page.paragraph("Class-agnostic recall of the best k proposals of an image.")
    page.table(pd.DataFrame(rows).T.reset_index(names="images"))


def _examples(page: Page, job: Job, datasets: Datasets) -> None:
    judged = datasets.judged()[0]
    images = {image_set.name: image_set for image_set in datasets.image_sets()}[judged.image_set]
    proposals = Sharded(job.inputs["proposals"] / "images" / judged.image_set)
    truth = read_ground_truth(judged.ground_truth)
    detections = read_results(job.inputs["lvis_eval"] / "detections.json", truth)
    page.heading("Examples")
    page.paragraph(
        "Annotated boxes, proposals tinted by their score, and the best detections; dashed boxes "
        "are novel categories. The images are the first ones, not chosen."
    )
    for position in np.argsort(judged.rows)[: job.config.report.examples]:
        row = int(judged.rows[position])
        boxes = best_proposals(proposals, row, 30)
        page.picture(
            _example(images, judged, int(position), row, boxes, detections), images.images.name(row)
        )


def _example(
    images: ImageSet,
    judged: Judged,
    position: int,
    row: int,
    proposals: np.ndarray,
    detections: Detections,
) -> Image.Image:
    pixels = images.images.read(row)
    boxes, labels, _ = judged.split.boxes_of(position)
    annotated = _named(pixels, boxes, labels, judged)
    tinted = draw_boxes(
        pixels,
        proposals[::-1, :4],
        [""] * len(proposals),
        colours=[score_colour(score) for score in proposals[::-1, 4]],
    )
    found = detections.take(detections.image_ids == judged.split.image_ids[position]).top(
        SHOWN_BOXES
    )
    corners = xywh_to_xyxy(found.boxes_xywh)
    place = {category.id: label for label, category in enumerate(judged.split.categories)}
    rows = np.array([place[int(number)] for number in found.category_ids], np.int64)
    detected = _named(pixels, corners, rows, judged, found.scores)
    return beside([annotated, tinted, detected], ["annotated", "proposals", "detected"])


def _named(
    pixels: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    judged: Judged,
    scores: np.ndarray | None = None,
) -> Image.Image:
    categories = [judged.split.categories[int(label)] for label in labels]
    texts = [category.name for category in categories]
    if scores is not None:
        texts = [f"{text} {score:.2f}" for text, score in zip(texts, scores, strict=True)]
    return draw_boxes(
        pixels,
        boxes,
        texts,
        colours=[colour_of(category.name) for category in categories],
        dashed=[bool(category.is_novel) for category in categories],
    )


def _calibration(page: Page, job: Job) -> None:
    table = pd.read_csv(job.inputs["calibration_sweep"] / "sweep.csv")
    page.heading("Calibration")
    page.paragraph(
        "Scores are p^β · η^(1−β), with p divided by prior^γ first. Per-category AP does not see a "
        "per-category factor, so γ acts only where the detections kept in an image are few."
    )
    for name, rows in table.groupby("dataset", sort=False):
        page.picture(job.inputs["calibration_sweep"] / f"{name}.png", f"AP on {name}.")
        page.table(rows)


def _training(page: Page, job: Job) -> None:
    page.heading("Training")
    for name in ("clip", "rpn", "roi"):
        if name in job.inputs and (job.inputs[name] / "loss.png").exists():
            page.picture(job.inputs[name] / "loss.png", f"Losses of stage {name}.")
    if "clip" in job.inputs:
        metrics = json.loads((job.inputs["clip"] / "metrics.json").read_text())
        page.table(pd.DataFrame([metrics]))


def _data(page: Page, datasets: Datasets) -> None:
    page.heading("Data")
    splits = [(item.name, "training", item.split) for item in datasets.training()]
    splits += [(item.name, item.style, item.split) for item in datasets.judged()]
    rows = [
        {
            "dataset": name,
            "use": use,
            "images": len(split),
            "boxes": len(split.boxes_xyxy),
            "categories": len(split.categories),
            "novel": sum(bool(category.is_novel) for category in split.categories),
        }
        for name, use, split in splits
    ]
    page.table(pd.DataFrame(rows))
