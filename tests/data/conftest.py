"""A tiny dataset on disk, and ways to bend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Content = dict[str, list[dict[str, Any]]]


@pytest.fixture
def content() -> Content:
    """Three images, two categories listed against the order of their ids, four boxes, one crowd."""
    return {
        "images": [
            {"id": 30, "file_name": "c.png", "width": 64, "height": 48},
            {"id": 10, "file_name": "a.png", "width": 40, "height": 60},
            {"id": 20, "file_name": "b.png", "width": 50, "height": 50},
        ],
        "categories": [{"id": 9, "name": "zebra"}, {"id": 2, "name": "ant"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 9, "bbox": [1, 2, 10, 20], "area": 200},
            {"id": 2, "image_id": 30, "category_id": 2, "bbox": [0.5, 0, 8, 8], "area": 64},
            {"id": 3, "image_id": 10, "category_id": 9, "bbox": [5, 5, 4, 4], "iscrowd": 1},
            {"id": 4, "image_id": 30, "category_id": 9, "bbox": [10, 10, 20, 20], "iscrowd": 0},
        ],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Content], Path]:
    """Writes annotations to `instances.json`."""

    def write_file(content: Content) -> Path:
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def folder(tmp_path: Path, content: Content) -> Path:
    """The images of `content`: noise that differs from image to image."""
    root = tmp_path / "images"
    root.mkdir()
    for seed, image in enumerate(content["images"]):
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 256, (image["height"], image["width"], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / image["file_name"])
    return root
