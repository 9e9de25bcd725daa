"""Detections of one image as a file of its own: YOLO, Pascal VOC, Labelme."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from unidet.formats.labels import labelme, voc, yolo
from unidet.formats.labels.records import Box, Labelled
from unidet.pictures.detections import Detections

Writer = Callable[[Detections, str], bytes]
"""Returns the content of a file, given detections and the image's path relative to the file."""


def yolo_content(detections: Detections, picture: str) -> bytes:
    numbers = {name: number for number, name in enumerate(detections.names)}
    return yolo.text_of(_labelled(detections, picture), numbers).encode()


def voc_content(detections: Detections, picture: str) -> bytes:
    """Boxes in whole pixels, as many readers of this format expect, enlarged to touched pixels."""
    outer = [np.floor(detections.boxes_xyxy[:, :2]), np.ceil(detections.boxes_xyxy[:, 2:])]
    touched = replace(detections, boxes_xyxy=np.concatenate(outer, axis=1))
    return voc.content_of(_labelled(touched, picture), PurePosixPath(picture).name)


def labelme_content(detections: Detections, picture: str) -> bytes:
    return labelme.text_of(_labelled(detections, picture), picture).encode()


WRITERS: dict[str, tuple[str, str, Writer]] = {
    "yolo": ("labels", ".txt", yolo_content),
    "voc": ("annotations", ".xml", voc_content),
    "labelme": ("labelme", ".json", labelme_content),
}
"""Format -> its folder, the suffix of its files, and their writer."""


def _labelled(detections: Detections, picture: str) -> Labelled:
    """Detections for the writers of label formats, corners rounded to 0.01 pixels."""
    height, width = detections.size_hw
    boxes = (
        Box(detections.names[label], (x1, y1, x2, y2), score=round(score, 5))
        for (x1, y1, x2, y2), score, label in replace(
            detections, boxes_xyxy=detections.boxes_xyxy.astype(np.float64).round(2)
        ).rows()
    )
    return Labelled(picture, width, height, tuple(boxes))
