"""Random and adversarial ground truth with results, written in the official formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass
class World:
    """Ground truth and results as JSON-able records, and where they were written."""

    truth: dict[str, Any]
    results: list[dict[str, Any]]
    folder: Path
    counter: list[int] = field(default_factory=list)

    def write(self) -> tuple[Path, Path]:
        self.counter.append(0)
        paths = [self.folder / f"{name}-{len(self.counter)}.json" for name in ("truth", "results")]
        for path, document in zip(paths, (self.truth, self.results), strict=True):
            path.write_text(json.dumps(document))
        return paths[0], paths[1]


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """A factory of worlds: `make_world(seed, images=…, categories=…, detections=…)`."""

    def make(
        seed: int,
        *,
        images: int = 12,
        categories: int = 8,
        detections: int = 40,
        frequencies: str = "rcf",
        with_crowds: bool = False,
    ) -> World:
        truth, results = random_problem(
            seed, images, categories, detections, frequencies, with_crowds
        )
        return World(truth, results, tmp_path)

    return make


def random_problem(
    seed: int,
    images: int,
    categories: int,
    detections: int,
    frequencies: str = "rcf",
    with_crowds: bool = False,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and results of it, as JSON has them."""
    rng = np.random.default_rng(seed)
    truth = _truth(rng, images, categories, frequencies, with_crowds)
    return truth, _results(rng, truth, detections)


def _box(rng: np.random.Generator) -> list[float]:
    # whole pixels on a coarse grid and sizes around 32 and 96: ties of IoU and of area limits
    size = rng.choice([8, 16, 32, 40, 64, 96, 128], 2)
    return [float(value) for value in (*(rng.integers(0, 12, 2) * 8), *size)]


def _truth(
    rng: np.random.Generator, images: int, categories: int, frequencies: str, with_crowds: bool
) -> dict[str, Any]:
    # ids neither start at 1 nor ascend in the file
    category_ids = [int(number) for number in rng.permutation(categories) * 3 + 5]
    image_ids = [int(number) for number in rng.permutation(images) * 7 + 2]
    annotations: list[dict[str, Any]] = []
    image_records = []
    for image_id in image_ids:
        labels = rng.choice(category_ids, rng.integers(0, 7))
        for label in labels:
            box = _box(rng)
            annotation = {
                "id": 1000 - len(annotations),
                "image_id": image_id,
                "category_id": int(label),
                "bbox": box,
                "area": box[2] * box[3] * float(rng.choice([1.0, 0.5])),
                "segmentation": [[0, 0, 1, 1, 2, 0]],
                "iscrowd": int(with_crowds and rng.random() < 0.2),
            }
            if not with_crowds and rng.random() < 0.1:
                annotation["ignore"] = 1
            annotations.append(annotation)
        others = [number for number in category_ids if number not in labels]
        image_records.append(
            {
                "id": image_id,
                "width": 320,
                "height": 320,
                "neg_category_ids": others[: rng.integers(0, 4)],
                "not_exhaustive_category_ids": [
                    int(number) for number in labels[: rng.integers(0, 2)]
                ],
            }
        )
    category_records = [
        {"id": number, "name": f"name {number}", "frequency": str(rng.choice(list(frequencies)))}
        for number in category_ids
    ]
    return {"images": image_records, "annotations": annotations, "categories": category_records}


def _results(
    rng: np.random.Generator, truth: dict[str, Any], detections: int
) -> list[dict[str, Any]]:
    category_ids = [record["id"] for record in truth["categories"]]
    results = []
    for image in truth["images"]:
        here = [record for record in truth["annotations"] if record["image_id"] == image["id"]]
        for _ in range(rng.integers(0, detections + 1)):
            box, label = _box(rng), int(rng.choice(category_ids))
            if here and rng.random() < 0.6:
                source = here[rng.integers(len(here))]
                label = source["category_id"]
                shift = rng.choice([0.0, 0.0, 4.0, 8.0], 4)
                box = [float(value) for value in np.array(source["bbox"]) + shift]
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": label,
                    "bbox": box,
                    "score": float(rng.integers(1, 20)) / 20,
                }
            )
    return [results[row] for row in rng.permutation(len(results))]
