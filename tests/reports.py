"""Studies of any size for tests of the report's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image

from unidet.records import Detections, GroundTruth
from unidet.report.figures import Evaluated, figures_of
from unidet.report.gallery import Gallery, Pair, picture_of
from unidet.report.html.provenance import Made, Provenance, RawFile, Value
from unidet.report.study import (
    DataFigures,
    FineTuned,
    Grid,
    Recall,
    Study,
    Sweep,
    Training,
)

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</svg><style>*{display:none}</style>",
    "{{ 7 * 7 }} {% raw %}",
    "<!-- unidet: provenance -->",
    "a" * 200,
    "traffic light & 'sign' \x00\x1b[31m",
    "交通灯 🚦",
)
"""Category names that some user may have."""

PROVENANCE_MADE = Provenance(
    report="0123456789ab",
    commands=["unidet stage=report 'data.root=<x>'"],
    experiment="toy",
    values=[Value("calibration.gamma", "0.0", "<0.3>")],
    made=[Made("report", "0123456789ab", "2026-11-26 17:03 UTC", "h", "1 s", "1 kB", "commit 1")],
    raw=[RawFile("data[val]", "<val>.json", "ab")],
    hosts=["h"],
    code=["commit 1"],
    built="2026-11-26 17:03 UTC",
    total="1 s of computing",
)


def evaluated(
    names: Sequence[str] = ("cat", "dog", "fox", "owl"),
    *,
    style: str = "lvis",
    images: int = 12,
    seed: int = 0,
    closed: bool = False,
    detections_an_image: int = 8,
) -> Evaluated:
    """A set with some boxes found, others under a neighbour's name; every third name is novel."""
    rng = np.random.default_rng(seed)
    count, boxes = len(names), 3 * images
    corners = rng.uniform(0, 60, (boxes, 2))
    boxes_xywh = np.concatenate([corners, rng.uniform(8, 40, (boxes, 2))], axis=1).round(2)
    categories, rows = rng.integers(0, count, boxes), np.repeat(np.arange(images), 3)
    negatives = np.zeros((images, count), bool)
    negatives[:, : max(1, count // 4)] = True
    truth = GroundTruth(
        source="made",
        image_ids=np.arange(images) + 1,
        category_ids=np.arange(count) + 1,
        category_names=tuple(names),
        frequencies=tuple("rcf"[row % 3] if style == "lvis" else None for row in range(count)),
        novel=None,
        annotation_ids=np.arange(boxes) + 1,
        image_rows=rows,
        category_rows=categories,
        boxes_xywh=boxes_xywh,
        areas=boxes_xywh[:, 2] * boxes_xywh[:, 3],
        is_crowd=np.zeros(boxes, bool),
        is_ignored=np.zeros(boxes, bool),
        negatives=negatives if style == "lvis" else None,
        not_exhaustive=np.zeros((images, count), bool) if style == "lvis" else None,
    )
    found = rng.integers(0, boxes, images * detections_an_image)
    called = (categories[found] + (rng.random(len(found)) < 0.3)) % count
    detections = Detections(
        image_ids=rows[found] + 1,
        category_ids=called + 1,
        boxes_xywh=boxes_xywh[found] + rng.choice([0, 0, 0, 40], (len(found), 1)),
        scores=rng.random(len(found)),
    )
    ap = np.where(np.bincount(categories, minlength=count) > 0, rng.random(count), np.nan)
    table = pd.DataFrame({"AP": ap, "AP50": ap, "AR": ap})
    novel = None if closed else {row + 1: row % 3 == 2 for row in range(count)}
    metrics = {"AP": float(np.nanmean(ap)), "AP50": 0.5, "APs": -1.0}
    return Evaluated("val", style, closed, truth, detections, novel, metrics, table)  # type: ignore[arg-type]


def study(*sets: Evaluated) -> Study:
    """All figures that a page may show; by default of one small set."""
    figures = [figures_of(item) for item in sets or (evaluated(),)]
    numbers = [10, 100, 300, 1000]
    lines = {"all": [0.2, 0.4, 0.5, 0.55], "small": [0.1, 0.2, 0.2, None]}
    names = {"new": 2, "old": 3, "other": 0}
    loss = [20.0, 3.0, *np.linspace(2.5, 1.0, 48)]
    return Study(
        beta=0.4,
        gamma=0.3,
        sets=figures,
        recalls=[
            Recall(item.name, False, numbers, lines, {"base": lines["all"], "novel": lines["all"]})
            for item in figures
        ],
        sweeps=[Sweep("val", [0.4, 1.0], [0.0, 0.3], [Grid(300, [[0.3, 0.31], [0.2, None]])])],
        training=[
            Training(
                "rpn",
                list(range(50)),
                {"loss": loss, "loss_box": loss},
                [1e-5 * n for n in range(50)],
            )
        ],
        data=[
            DataFigures("a", "training", 10, 20, 3, None),
            DataFigures("val", "evaluation", 4, 5, 3, 1),
        ],
        inputs={"data[val]": "0123456789ab", "roi": "ba9876543210"},
        fine_tuned=[
            FineTuned(item.name, network, names, {"new": new, "old": old, "other": None})
            for item in figures
            for network, new, old in (("before", 0.01, 0.4), ("plain", 0.2, 0.125))
        ],
    )


def renamed(of: Study, name: str) -> Study:
    """The same with its first set under another name."""
    return replace(of, sets=[replace(of.sets[0], name=name), *of.sets[1:]])


def galleries(kinds: int = 4, pairs: int = 2, side: int = 64) -> list[Gallery]:
    """Noise, which no JPEG makes small."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (side * 3 // 4, side, 3), np.uint8)
    picture = picture_of(Image.fromarray(pixels), "Annotated: cat.")
    pair = Pair("image <1>", "1 of 1 boxes under their own name", picture, picture)
    return [Gallery(f"kind {n}", f"Kind {n}", "how chosen", [pair] * pairs) for n in range(kinds)]
