"""Two labelled images in every format, written by hand: `a.png` has a cat and a dog, `in/b.png` a
cat."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from unidet.formats.labels.records import Box, Labelled, Labels

SIZES = {"a.png": (100, 80), "in/b.png": (60, 40)}
BOXES = {
    "a.png": [("cat", (10, 20, 50, 60)), ("dog", (0, 0, 20, 10))],
    "in/b.png": [("cat", (5, 5, 25, 25))],
}
"""x1, y1, x2, y2 in pixels."""

COCO = {
    "labels.json": {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 100, "height": 80},
            {"id": 2, "file_name": "in/b.png", "width": 60, "height": 40},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 40, 40]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 20, 10]},
            {"id": 3, "image_id": 2, "category_id": 1, "bbox": [5, 5, 20, 20]},
        ],
    }
}
YOLO = {
    "data.yaml": "names: [cat, dog]\n",
    "labels/a.txt": "0 0.3 0.5 0.4 0.5\n1 0.1 0.0625 0.2 0.125\n",
    "labels/in/b.txt": "0 0.25 0.375 0.3333333333 0.5\n",
}
VOC = {
    "a.xml": """<annotation><filename>a.png</filename>
<size><width>100</width><height>80</height><depth>3</depth></size>
<object><name>cat</name>
<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object>
<object><name>dog</name><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>
</annotation>""",
    "b.xml": """<annotation><filename>b.png</filename>
<size><width>60</width><height>40</height></size>
<object><name>cat</name>
<bndbox><xmin>6</xmin><ymin>6</ymin><xmax>25</xmax><ymax>25</ymax></bndbox></object>
</annotation>""",
}
OPENIMAGES = {
    "annotations-bbox.csv": """ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf
a,x,/m/01yrx,1,0.1,0.5,0.25,0.75,0
a,x,/m/0bt9lr,1,0,0.2,0,0.125,0
b,x,/m/01yrx,1,0.0833333333,0.4166666667,0.125,0.625,0
""",
    "class-descriptions-boxable.csv": "/m/01yrx,cat\n/m/0bt9lr,dog\n",
}
LABELME = {
    "a.json": {
        "version": "5.0.1",
        "shapes": [
            {"label": "cat", "points": [[50, 60], [10, 20]], "shape_type": "rectangle"},
            {"label": "dog", "points": [[0, 0], [20, 0], [20, 10]], "shape_type": "polygon"},
        ],
        "imagePath": "..\\photos\\a.png",
        "imageData": None,
        "imageHeight": 80,
        "imageWidth": 100,
    },
    "b.json": {
        "shapes": [{"label": "cat", "points": [[15, 15], [15, 25]], "shape_type": "circle"}],
        "imagePath": "b.png",
        "imageHeight": 40,
        "imageWidth": 60,
    },
}
CVAT = {
    "annotations.xml": """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><labels><label><name>cat</name></label><label><name>dog</name></label></labels></task>
</meta>
<image id="0" name="a.png" width="100" height="80">
<box label="cat" occluded="0" xtl="10" ytl="20" xbr="50" ybr="60"></box>
<polygon label="dog" points="0,0;20,0;20,10"></polygon>
</image>
<image id="1" name="in/b.png" width="60" height="40">
<ellipse label="cat" cx="15" cy="15" rx="10" ry="10"></ellipse>
</image></annotations>""",
}
_REGION = {"type": "rectanglelabels", "original_width": 100, "original_height": 80}
LABELSTUDIO = {
    "export.json": [
        {
            "id": 1,
            "data": {"image": "/data/upload/1/0a1b2c3d-a.png"},
            "annotations": [
                {"was_cancelled": True, "result": []},
                {
                    "result": [
                        {
                            **_REGION,
                            "value": {
                                "x": 10,
                                "y": 25,
                                "width": 40,
                                "height": 50,
                                "rotation": 0,
                                "rectanglelabels": ["cat"],
                            },
                        },
                        {
                            "type": "polygonlabels",
                            "value": {
                                "points": [[0, 0], [20, 0], [20, 12.5]],
                                "polygonlabels": ["dog"],
                            },
                        },
                    ]
                },
            ],
        },
        {
            "id": 2,
            "data": {"image": "/data/local-files/?d=photos/in/b.png"},
            "annotations": [
                {
                    "result": [
                        {
                            "type": "ellipselabels",
                            "value": {
                                "x": 25,
                                "y": 37.5,
                                "radiusX": 100 / 6,
                                "radiusY": 25,
                                "ellipselabels": ["cat"],
                            },
                        }
                    ]
                }
            ],
        },
    ]
}
LABELS = {
    "coco": COCO,
    "yolo": YOLO,
    "voc": VOC,
    "openimages": OPENIMAGES,
    "labelme": LABELME,
    "cvat": CVAT,
    "labelstudio": LABELSTUDIO,
}


def write_pictures(folder: Path) -> Path:
    """The two images in a folder."""
    for number, (name, size) in enumerate(SIZES.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 80, 160)).save(folder / name)
    return folder


def write_labels(folder: Path, format_name: str) -> Path:
    """Their labels in a folder."""
    for name, content in LABELS[format_name].items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def write_twelve(folder: Path) -> Labels:
    """Twelve images of 96 x 64 noise, on each one or two of three kinds of plain rectangles."""
    folder.mkdir(parents=True)
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    images = []
    for number in range(12):
        random = np.random.default_rng(number)
        pixels = random.integers(60, 190, (64, 96, 3), np.uint8)
        boxes = []
        for part, name in enumerate((*colours, *colours)[number % 3 :][: 1 + number % 2]):
            left, top = 4 + 48 * part, int(random.integers(2, 20))
            pixels[top : top + 32, left : left + 40] = colours[name]
            boxes.append(Box(name, (left, top, left + 40, top + 32)))
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
        images.append(Labelled(f"{number:02d}.png", 96, 64, tuple(boxes)))
    return Labels(tuple(colours), tuple(images))
