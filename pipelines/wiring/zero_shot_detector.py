"""Boxes with names on one's own pictures, by the newest trained models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unidet.config.study import Config
from unidet.console.terminal import Progress, say
from unidet.data.images import read_image
from unidet.errors import UserError
from unidet.ops.numpy_boxes import xywh_to_xyxy, xyxy_to_xywh
from unidet.pipelines.detector.from_study import lineage_for, network_of
from unidet.pipelines.detector.model import Model
from unidet.pipelines.detector.options import Options
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.wiring.drawings import plan_drawings, results_file, save_drawing
from unidet.records import Detections
from unidet.report.draw import draw_boxes


def detect_files(
    config: Config, images: Sequence[str], vocabulary: str, out: str, threshold: float
) -> None:
    """Draw each picture and write detections.json into the folder `out`, one after another.

    Memory holds one picture at a time. All are decoded once before the models are opened, so that
    a damaged one is told before anything is written.

    Raises:
        UserError: no names, an image that cannot be read, a model that is not trained, a name that
            ready-made embeddings do not hold, or an output that would replace a file.
    """
    names = [name.strip() for name in vocabulary.split(",") if name.strip()]
    if not names:
        raise UserError('--vocab: names no category; give them like --vocab "cat, dog"')
    drawings = plan_drawings(images, Path(out))
    for path in _counted(list(drawings), "reading pictures"):
        read_image(Path(path))
    detector = _open(config, names)
    with results_file(Path(out)) as write:
        for path in _counted(list(drawings), "detecting"):
            shown = _detect_and_draw(Path(path), drawings[path], detector, names, threshold)
            for record in _records(path, shown, names):
                write(record)
            say(f"{path}: {len(shown)} boxes -> {drawings[path]}")


def _counted(items: list[str], label: str) -> Iterator[str]:
    progress = Progress(label)
    for done, item in enumerate(items, start=1):
        yield item
        progress.update(done, len(items))
    progress.close()


def _detect_and_draw(
    path: Path,
    target: Path,
    detector: Callable[[np.ndarray], Detections],
    names: list[str],
    threshold: float,
) -> Detections:
    """The detections of at least this score, which are drawn."""
    pixels = read_image(path)
    detections = detector(pixels)
    shown = detections.take(detections.scores >= threshold)
    save_drawing(_draw(pixels, shown, names), target)
    return shown


def _open(config: Config, names: list[str]) -> Callable[[np.ndarray], Detections]:
    """(H, W, 3) uint8 pixels to detections; category ids are positions in `names`."""
    store = open_store(config)
    model = Model(network_of(lineage_for(config, store), config))
    options = Options(threshold=0.0, top_k=config.detection.max_per_image, multi_label=True)

    def detect(pixels: np.ndarray) -> Detections:
        (found,) = model.stream([pixels], names, options)
        boxes = xyxy_to_xywh(found.boxes_xyxy.astype(np.float64))
        return Detections(np.zeros(len(found), np.int64), found.labels, boxes, found.scores)

    return detect


def _draw(pixels: np.ndarray, shown: Detections, names: list[str]) -> Image.Image:
    corners = xywh_to_xyxy(shown.boxes_xywh)
    pairs = zip(shown.category_ids, shown.scores, strict=True)
    texts = [f"{names[int(number)]} {score:.2f}" for number, score in pairs]
    return draw_boxes(pixels, corners, texts)


def _records(path: str, shown: Detections, names: list[str]) -> list[dict[str, Any]]:
    rows = zip(shown.category_ids, shown.boxes_xywh.tolist(), shown.scores.tolist(), strict=True)
    return [
        {"image": path, "category": names[int(number)], "bbox": box, "score": round(score, 5)}
        for number, box, score in rows
    ]
