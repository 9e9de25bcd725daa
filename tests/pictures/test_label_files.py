"""Labels of one picture in the formats of others; values worked by hand."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np

from unidet.pictures.detections import Detections
from unidet.pictures.label_files import labelme_text, voc_text, yolo_text

MADE = Detections(
    np.array([[10, 20, 50, 60], [0, 0, 100, 80]], np.float32),
    np.array([0.75, 0.5], np.float32),
    np.array([1, 0]),
    ("cat & co", "dog"),
    (80, 100),
)
NONE = MADE.take(np.zeros(2, bool))


def test_yolo() -> None:
    assert yolo_text(MADE, "x.jpg") == (
        "1 0.300000 0.500000 0.400000 0.500000 0.750000\n"
        "0 0.500000 0.500000 1.000000 1.000000 0.500000\n"
    )
    assert yolo_text(NONE, "x.jpg") == ""


def test_voc_counts_pixels_from_one() -> None:
    root = ElementTree.fromstring(voc_text(MADE, "../photos/x.jpg"))
    assert root.findtext("folder") == "photos"
    assert root.findtext("filename") == "x.jpg"
    assert [root.findtext(f"size/{name}") for name in ("width", "height", "depth")] == [
        *("100", "80", "3")
    ]
    dog, cat = root.findall("object")
    assert cat.findtext("name") == "cat & co"
    corners = [[leaf.text for leaf in item.find("bndbox") or ()] for item in (dog, cat)]
    assert corners == [["11", "21", "50", "60"], ["1", "1", "100", "80"]]
    assert ElementTree.fromstring(voc_text(NONE, "x.jpg")).findall("object") == []


def test_labelme() -> None:
    content = json.loads(labelme_text(MADE, "../x.jpg"))
    assert content["imagePath"] == "../x.jpg"
    assert (content["imageHeight"], content["imageWidth"]) == (80, 100)
    first, _ = content["shapes"]
    assert first["label"] == "dog"
    assert first["points"] == [[10, 20], [50, 60]]
    assert first["shape_type"] == "rectangle"
    assert json.loads(labelme_text(NONE, "x.jpg"))["shapes"] == []
