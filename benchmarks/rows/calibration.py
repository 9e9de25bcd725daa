"""Calibration sweep over 30 pairs of β and γ, compared with one evaluation and its controls.

As large as the toy world: 400 images with 300 regions each, 40 names, embeddings of 64 values. Half
of the detections are near annotated boxes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rows.evaluation import problem
from side_by_side import Row

IMAGES, REGIONS, NAMES, DIMENSIONS = 400, 300, 40, 64
GAMMAS, BETAS = (0.0, 0.2, 0.3, 0.4, 0.6, 0.8), (0.2, 0.3, 0.4, 0.6, 1.0)


def work(program: str, folder: Path) -> Callable[[], Any]:
    import pandas  # noqa: F401  used by the sweep; its import is not timed

    from unidet.evaluation.calibration_grid import sweep
    from unidet.evaluation.controls import carried_by_controls
    from unidet.evaluation.detections import Scoring, TextClassifier, calibrated, detect
    from unidet.evaluation.lvis import evaluate_lvis
    from unidet.evaluation.soft_nms import Suppression
    from unidet.formats.ground_truth import read_ground_truth

    truth = read_ground_truth(problem(folder, "toy")[0])
    rng = np.random.default_rng(0)
    text = TextClassifier.of(rng.normal(size=(NAMES, DIMENSIONS)), truth.category_ids, 20.0, -4.0)
    images, suppression = regions(truth, text, rng), Suppression()
    plain = [Scoring(0.3, carried=rows) for rows in [None, *carried_by_controls(NAMES)]]

    def evaluation() -> None:
        scorings = calibrated(images, text, plain, 0.6, suppression)
        for detections in detect(images, text, scorings, suppression):
            evaluate_lvis(truth, detections)

    def grid() -> None:
        settings = {"gammas": GAMMAS, "betas": BETAS, "caps": [300]}
        sweep(images, text, truth, suppression=suppression, **settings)

    return {"sweep": grid, "one evaluation": evaluation}[program]


def regions(truth: Any, text: Any, rng: np.random.Generator) -> list[Any]:
    from unidet.evaluation.regions import Regions

    found = []
    for row, image_id in enumerate(truth.image_ids.tolist()):
        here = rng.choice(np.flatnonzero(truth.image_rows == row), REGIONS)
        boxes = truth.boxes_xywh[here] + rng.normal(0, 3, (REGIONS, 4))
        boxes[:, 2:] += boxes[:, :2]
        vectors = text.text_embeddings[truth.category_rows[here]]
        vectors = vectors + rng.normal(0, 0.2, vectors.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found.append(
            Regions(image_id, boxes.astype(np.float32), rng.random(REGIONS), vectors.astype("f2"))
        )
    return found


ROWS = [
    Row(
        "calibration",
        f"calibration, {len(GAMMAS) * len(BETAS)} pairs of β and γ",
        ("sweep", "one evaluation"),
        work,
        goal=2.0,
        quick=True,
    )
]
