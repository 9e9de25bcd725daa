"""Small files in the official formats, and ways to bend them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    """Two images of 20x10 pixels, two categories, three boxes."""
    return {
        "images": [
            {"id": 9, "file_name": "nine.jpg", "width": 20, "height": 10},
            {"id": 4, "file_name": "four.jpg", "width": 20, "height": 10},
        ],
        "categories": [{"id": 3, "name": "bat"}, {"id": 1, "name": "ant"}],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 3, "bbox": [1, 2, 5, 5], "area": 25},
            {"id": 2, "image_id": 9, "category_id": 1, "bbox": [8, 1, 4, 4.5], "area": 18},
            {"id": 3, "image_id": 9, "category_id": 3, "bbox": [12, 3, 7, 6], "area": 30},
        ],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Document], Path]:
    """Writes a document to `truth.json`."""

    def write_file(document: Document) -> Path:
        path = tmp_path / "truth.json"
        path.write_text(json.dumps(document))
        return path

    return write_file
