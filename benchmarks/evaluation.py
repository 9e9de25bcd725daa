"""Time and peak memory of AP from files: ours, the reference packages, and hotcoco where installed.

python benchmarks/evaluation.py [RUNS]

Every run is a process of its own that reads the ground truth and the results and computes AP; the
programs take turns. LVIS: 5,000 images, 300 detections each, 1,203 names; COCO: 1,000 images, 100
detections each, 80 names; half of the detections lie on annotated boxes.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

PROBLEMS = {"lvis": (5000, 300, 1203, 12), "coco": (1000, 100, 80, 7)}
REFERENCES = {"lvis": "lvis", "coco": "pycocotools"}


def write_problem(folder: Path, style: str) -> None:
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
            | (lists[row] if style == "lvis" else {})
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


def evaluate(program: str, style: str, truth: Path, results: Path) -> float:
    """AP, by `unidet`, the style's reference package, or `hotcoco`."""
    if program == "unidet":
        from unidet.evaluation.evaluate import evaluate as ours
        from unidet.formats.ground_truth import read_ground_truth
        from unidet.formats.results import read_results

        read = read_ground_truth(truth)
        return ours(read, read_results(results, read), style)["AP"]
    if program == "hotcoco":
        import hotcoco

        annotated = hotcoco.COCO(str(truth))
        load = hotcoco.LVISResults if style == "lvis" else hotcoco.COCO.load_res
        detected = load(annotated, str(results))
        scores = hotcoco.COCOeval(annotated, detected, "bbox", lvis_style=style == "lvis")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
        return float(scores.stats[0])
    if style == "lvis":
        from unidet.evaluation.lvis_package import lvis_package_metrics as reference
    else:
        from unidet.evaluation.pycocotools_package import pycocotools_metrics as reference
    return reference(truth, results)["AP"]


def measured(program: str, style: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", program, style, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(runs: int) -> None:
    print("style  program      seconds  of CPU  peak MiB        AP")
    for style, reference in REFERENCES.items():
        programs = ["unidet", reference]
        if importlib.util.find_spec("hotcoco"):
            programs.append("hotcoco")
        with tempfile.TemporaryDirectory() as place:
            write_problem(Path(place), style)
            taken: dict[str, list[dict[str, float]]] = {program: [] for program in programs}
            for run in range(runs):
                for program in programs if run == 0 else [p for p in programs if p != reference]:
                    taken[program].append(measured(program, style, Path(place)))
        for program, figures in taken.items():
            median = {key: statistics.median(row[key] for row in figures) for key in figures[0]}
            print(
                f"{style:6} {program:12} {median['seconds']:7.2f} {median['cpu']:7.2f} "
                f"{median['mib']:9.0f}  {median['AP']:.6f}"
            )


def one(program: str, style: str, folder: Path) -> None:
    start, used = time.perf_counter(), time.process_time()
    score = evaluate(program, style, folder / "truth.json", folder / "results.json")
    figures = {
        "AP": score,
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - used,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 3)
