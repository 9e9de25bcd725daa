"""Labels of one image in the formats of others; values worked by hand."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np

from unidet.pictures.detections import Detections
from unidet.pictures.label_files import labelme_content, voc_content, yolo_content

MADE = Detections(
    np.array([[10, 20, 50, 60], [0, 0, 100, 80]], np.float32),
    np.array([0.75, 0.5], np.float32),
    np.array([1, 0]),
    ("cat & co", "dog"),
    (80, 100),
)
NONE = MADE.take(np.zeros(2, bool))


def test_yolo() -> None:
    assert yolo_content(MADE, "x.jpg") == b"1 0.3 0.5 0.4 0.5 0.75\n0 0.5 0.5 1 1 0.5\n"
    assert yolo_content(NONE, "x.jpg") == b""


def test_voc_counts_pixels_from_one() -> None:
    root = ElementTree.fromstring(voc_content(MADE, "../photos/x.jpg"))
    assert root.findtext("filename") == "x.jpg"
    assert [root.findtext(f"size/{name}") for name in ("width", "height", "depth")] == [
        *("100", "80", "3")
    ]
    dog, cat = root.findall("object")
    assert cat.findtext("name") == "cat & co"
    corners = [[leaf.text for leaf in item.find("bndbox") or ()] for item in (dog, cat)]
    assert corners == [["11", "21", "50", "60"], ["1", "1", "100", "80"]]
    assert [item.findtext("score") for item in (dog, cat)] == ["0.75000", "0.50000"]
    assert ElementTree.fromstring(voc_content(NONE, "x.jpg")).findall("object") == []


def test_labelme() -> None:
    content = json.loads(labelme_content(MADE, "../x.jpg"))
    assert content["imagePath"] == "../x.jpg"
    assert (content["imageHeight"], content["imageWidth"]) == (80, 100)
    first, _ = content["shapes"]
    assert first["label"] == "dog"
    assert first["points"] == [[10, 20], [50, 60]]
    assert first["shape_type"] == "rectangle"
    assert json.loads(labelme_content(NONE, "x.jpg"))["shapes"] == []
