"""What models detect in the evaluation sets of studies that have run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from unidet.ops.numpy_boxes import xyxy_to_xywh
from unidet.pictures.detections import Detections
from unidet.pipelines.detector.opened_study import Study


def pictures_of(study: Study, name: str) -> list[np.ndarray]:
    """The images of an evaluation set, (H, W, 3) uint8 each."""
    images = study.images(name).images
    return [np.array(images.read(row)) for row in range(len(images))]


def rows(detections: Detections) -> np.ndarray:
    """(N, 6) category row, box as xywh, score; in an order of its own."""
    boxes = xyxy_to_xywh(detections.boxes_xyxy.astype(np.float64))
    table = np.column_stack([detections.labels, boxes, detections.scores])
    return table[np.lexsort(table.T[:3])]


def evaluated_rows(study: Study, name: str) -> Iterator[np.ndarray]:
    """What `lvis_eval` has of a set, image after image, as `rows`; (0, 6) of none."""
    split = study.images(name).split
    places = {category.id: row for row, category in enumerate(split.categories)}
    file = study.lineage.folder(f"lvis_eval[{name}]") / "detections.json"
    records = json.loads(file.read_text())
    table = [[places[row["category_id"]], *row["bbox"], row["score"]] for row in records]
    of_all = np.array(table).reshape(-1, 6)
    images = np.array([row["image_id"] for row in records])
    for image_id in split.image_ids:
        of_image = of_all[images == image_id]
        yield of_image[np.lexsort(of_image.T[:3])]
