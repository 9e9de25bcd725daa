"""Detections of one picture as a file of its own: YOLO, Pascal VOC, Labelme."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePosixPath
from xml.etree import ElementTree

from unidet.pictures.detections import Detections

Writer = Callable[[Detections, str], str]
"""Makes the text of a file, from the detections and the picture's path as seen from the file."""


def yolo_text(detections: Detections, picture: str) -> str:
    """A line each: class, centre x, centre y, width, height as shares of the picture, score."""
    height, width = detections.size_hw
    lines = []
    for (x1, y1, x2, y2), score, label in detections.rows():
        shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width)
        numbers = " ".join(f"{share:.6f}" for share in (*shares, (y2 - y1) / height, score))
        lines.append(f"{label} {numbers}\n")
    return "".join(lines)


def voc_text(detections: Detections, picture: str) -> str:
    """An annotation with one `object` each; pixels count from 1, as officially."""
    root = ElementTree.Element("annotation")
    height, width = detections.size_hw
    path = PurePosixPath(picture)
    _leaf(root, "folder", path.parent.name)
    _leaf(root, "filename", path.name)
    _leaf(root, "path", picture)
    size = ElementTree.SubElement(root, "size")
    for name, length in (("width", width), ("height", height), ("depth", 3)):
        _leaf(size, name, length)
    for box, score, label in detections.rows():
        item = ElementTree.SubElement(root, "object")
        _leaf(item, "name", detections.names[label])
        _leaf(item, "score", f"{score:.5f}")
        _leaf(item, "difficult", 0)
        corners = ElementTree.SubElement(item, "bndbox")
        sides = (width, height, width, height)
        for name, value, side in zip(("xmin", "ymin", "xmax", "ymax"), box, sides, strict=True):
            first = 1 if name.endswith("min") else 0
            _leaf(corners, name, min(max(round(value) + first, 1), side))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def labelme_text(detections: Detections, picture: str) -> str:
    """Rectangles as Labelme 5 reads them; the picture is named, not held."""
    height, width = detections.size_hw
    shapes: list[dict[str, object]] = [
        {
            "label": detections.names[label],
            "points": [[round(x1, 2), round(y1, 2)], [round(x2, 2), round(y2, 2)]],
            "group_id": None,
            "description": f"{score:.5f}",
            "shape_type": "rectangle",
            "flags": {},
        }
        for (x1, y1, x2, y2), score, label in detections.rows()
    ]
    content: dict[str, object] = {
        "version": "5.0.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": picture,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return json.dumps(content, indent=1) + "\n"


WRITERS: dict[str, tuple[str, str, Writer]] = {
    "yolo": ("labels", ".txt", yolo_text),
    "voc": ("annotations", ".xml", voc_text),
    "labelme": ("labelme", ".json", labelme_text),
}
"""Format -> its folder, the ending of its files, what makes one's text."""


def _leaf(parent: ElementTree.Element, name: str, value: object) -> None:
    ElementTree.SubElement(parent, name).text = str(value)
