"""AP from files, reading included, compared with hotcoco and the reference packages.

LVIS: 5,000 images, 300 detections per image, 1,203 names. COCO: 1,000 images, 100 detections per
image, 80 names. Half of the detections are near annotated boxes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from multiprocessing import Process
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import Row

PROBLEMS = {
    "lvis": (5000, 300, 1203, 12),
    "coco": (1000, 100, 80, 7),
    "toy": (400, 300, 40, 6),
}
"""Images, detections per image, names, boxes per image."""
TITLES = {
    "lvis": "LVIS AP, 5,000 images x 300 x 1,203 names",
    "coco": "COCO AP, 1,000 images x 100 x 80 names",
}


def problem(folder: Path, style: str) -> tuple[Path, Path]:
    """Annotations and results, written by another process if they do not exist: its memory is not
    that of the program which is measured."""
    place = folder / style
    truth, results = place / "truth.json", place / "results.json"
    if not results.exists():
        place.mkdir(parents=True, exist_ok=True)
        writer = Process(target=_write_problem, args=(place, style))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise RuntimeError(f"{place}: not written")
    return truth, results


def _write_problem(folder: Path, style: str) -> None:
    images, detections, names, boxes = PROBLEMS[style]
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(images), boxes)
    labels = rng.integers(0, names, len(rows))
    places = _boxes(rng, len(rows))
    columns = zip(rows, labels, places.tolist(), strict=True)
    annotations = [
        {"id": number, "image_id": int(image) + 1, "category_id": int(label) + 1, "bbox": box,
         "area": box[2] * box[3], "iscrowd": 0, "segmentation": [[0, 0, 1, 1, 2, 0]]}
        for number, (image, label, box) in enumerate(columns, 1)
    ]  # fmt: skip
    lists = [
        {"neg_category_ids": (rng.choice(names, 10, replace=False) + 1).tolist(),
         "not_exhaustive_category_ids": (rng.choice(names, 2, replace=False) + 1).tolist()}
        for _ in range(images)
    ]  # fmt: skip
    truth = {
        "images": [
            {"id": row + 1, "file_name": f"{row}.jpg", "width": 640, "height": 480}
            | (lists[row] if style != "coco" else {})
            for row in range(images)
        ],
        "categories": [
            {"id": row + 1, "name": f"name {row}", "frequency": "rcf"[row % 3]}
            for row in range(names)
        ],
        "annotations": annotations,
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(
        json.dumps(_results(rng, images, detections, names, rows, labels, places))
    )


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners, sizes = rng.uniform(0, 500, (count, 2)), np.exp(rng.uniform(1.5, 5.5, (count, 2)))
    return np.round(np.concatenate([corners, sizes], axis=1), 2)


def _results(
    rng: np.random.Generator,
    images: int,
    detections: int,
    names: int,
    rows: np.ndarray,
    labels: np.ndarray,
    places: np.ndarray,
) -> list[dict[str, Any]]:
    total = images * detections
    image_rows = np.repeat(np.arange(images), detections)
    classes, boxes = rng.integers(0, names, total), _boxes(rng, total)
    near = np.flatnonzero(np.arange(total) % 2 == 0)
    starts = np.searchsorted(rows, image_rows[near])
    source = starts + rng.integers(0, len(rows) // images, len(near))
    classes[near] = labels[source]
    boxes[near] = np.round(places[source] * rng.uniform(0.8, 1.2, (len(near), 4)), 2)
    columns = zip(image_rows, classes, boxes.tolist(), rng.random(total), strict=True)
    return [
        {"image_id": int(image) + 1, "category_id": int(label) + 1, "bbox": box,
         "score": round(float(score), 6)}
        for image, label, box, score in columns
    ]  # fmt: skip


def by_unidet(style: str, truth: Path, results: Path) -> Callable[[], float]:
    from unidet.evaluation.evaluate import evaluate
    from unidet.formats.ground_truth import read_ground_truth
    from unidet.formats.results import read_results

    def run() -> float:
        annotated = read_ground_truth(truth)
        return evaluate(annotated, read_results(results, annotated), style)["AP"]

    return run


def by_hotcoco(style: str, truth: Path, results: Path) -> Callable[[], float]:
    import hotcoco

    def run() -> float:
        annotated = hotcoco.COCO(str(truth))
        load = hotcoco.LVISResults if style == "lvis" else hotcoco.COCO.load_res
        detected = load(annotated, str(results))
        scores = hotcoco.COCOeval(annotated, detected, "bbox", lvis_style=style == "lvis")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
        return float(scores.stats[0])

    return run


def by_reference(style: str, truth: Path, results: Path) -> Callable[[], float]:
    if style == "lvis":
        from unidet.evaluation.lvis_package import lvis_package_metrics as metrics
    else:
        from unidet.evaluation.pycocotools_package import pycocotools_metrics as metrics
    return lambda: metrics(truth, results)["AP"]


PROGRAMS = {
    "unidet": by_unidet,
    "hotcoco": by_hotcoco,
    "lvis": by_reference,
    "pycocotools": by_reference,
}


def work(style: str, program: str, folder: Path) -> Callable[[], Any]:
    return PROGRAMS[program](style, *problem(folder, style))


def _row(name: str, style: str, other: str, goal: float | None, quick: bool) -> Row:
    programs = ("unidet", other)
    return Row(name, TITLES[style], programs, partial(work, style), goal=goal, quick=quick)


ROWS = [
    _row("lvis", "lvis", "hotcoco", 1.0, False),
    _row("coco", "coco", "hotcoco", 1.0, True),
    _row("lvis-package", "lvis", "lvis", None, False),
    _row("pycocotools", "coco", "pycocotools", None, False),
]
