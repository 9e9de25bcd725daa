"""Label Studio: its JSON and JSON-MIN exports, boxes and outlines in percent of the picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from unidet.formats.json_text import record_batches, shown
from unidet.formats.labels.cvat import turned
from unidet.formats.labels.records import (
    Box,
    Labelled,
    Labels,
    Notes,
    Pictures,
    RecordFault,
    Refuse,
    around,
    is_pair,
    leaving_out,
    name_of,
    names_met,
    number,
    strictly,
)

LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of a file that is uploaded."""


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """A list of tasks; of several annotations of one the first that was not cancelled counts."""
    notes = Notes()
    images: list[Labelled] = []
    for first, tasks in record_batches(place):
        for row, task in enumerate(tasks, start=first):
            with leaving_out(refuse):
                images += _image(f"{place}: task[{row}]", task, pictures, notes)
    return Labels(names_met(images), tuple(images), notes.findings)


def _image(where: str, task: Any, pictures: Pictures, notes: Notes) -> Iterator[Labelled]:
    if not isinstance(task, dict):
        raise RecordFault(where, "must be an object", shown(task))
    values = task["data"] if isinstance(task.get("data"), dict) else task
    name = _picture(where, values, pictures)
    regions = list(_regions(where, task))
    if not regions and "annotations" in task and not task["annotations"]:
        notes.add("task that nobody has annotated: left out", where)
        return
    sides = pictures.size(name)
    boxes = []
    for place, value in regions:
        label = next((key for key in LABELS if value.get(key)), None)
        if label is None:
            notes.add(f"region without a box ({', '.join(LABELS)} have): left out", place)
            continue
        texts = value[label]
        text = texts[0] if isinstance(texts, list) else texts
        boxes.append(Box(name_of(place, text), _xyxy(place, value, sides)))
    yield Labelled(name, *sides, tuple(boxes))


def _picture(where: str, values: dict[str, Any], pictures: Pictures) -> str:
    """By the first value that names one: a path, an address, an upload."""
    texts = [value for value in values.values() if isinstance(value, str)]
    for text in texts:
        address = urlsplit(text)
        path = parse_qs(address.query).get("d", [unquote(address.path)])[0]
        folder, _, name = path.rpartition("/")
        plain = _UPLOADED.sub("", name)
        found = pictures.find(path) or pictures.find(f"{folder}/{plain}" if folder else plain)
        if found is not None:
            return found
    raise RecordFault(where, f"must name a picture below {pictures.root}", shown(texts[:1]))


def _regions(where: str, task: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each region is, and its value with its kind of label; both exports."""
    annotations = task.get("annotations", task.get("completions"))
    if isinstance(annotations, list):
        results = next((item for item in annotations if not item.get("was_cancelled")), None)
        regions = (results or {}).get("result") or []
        values = [item.get("value") for item in regions if item.get("type") != "choices"]
    else:
        lists = [value for value in task.values() if isinstance(value, list)]
        values = [item for items in lists for item in items if isinstance(item, dict)]
    for row, value in enumerate(values):
        place = f"{where}: region[{row}]"
        if not isinstance(value, dict):
            raise RecordFault(place, "must have a 'value'", shown(value))
        yield place, value


def _xyxy(
    where: str, value: dict[str, Any], sides: tuple[int, int]
) -> tuple[float, float, float, float]:
    def percent(key: str, side: int) -> float:
        return number(where, value.get(key), f"'{key}'") * side / 100

    width, height = sides
    if "points" in value:
        written = value["points"]
        if not isinstance(written, list) or len(written) < 3:
            raise RecordFault(where, "'points' must be three or more [x, y]", shown(written))
        pairs = (point if is_pair(point) else ("", "") for point in written)
        return around(
            (number(where, x, "x") * width / 100, number(where, y, "y") * height / 100)
            for x, y in pairs
        )
    x, y = percent("x", width), percent("y", height)
    if "radiusX" in value:
        across, down = percent("radiusX", width), percent("radiusY", height)
        return x - across, y - down, x + across, y + down
    right, bottom = x + percent("width", width), y + percent("height", height)
    corners = [(x, y), (right, y), (right, bottom), (x, bottom)]
    return around(turned(corners, (x, y), number(where, value.get("rotation") or 0, "'rotation'")))


def write(labels: Labels, out: Path, images: Path) -> None:
    """`label_studio.json`; pictures by their paths, as from local storage."""
    tasks = [
        {
            "data": {"image": f"/data/local-files/?d={quote(image.file_name)}"},
            "annotations": [{"result": [_result(box, image) for box in _drawn(image)]}],
        }
        for image in labels.images
    ]
    (out / "label_studio.json").write_text(json.dumps(tasks, ensure_ascii=False))


def _drawn(image: Labelled) -> list[Box]:
    return [box for box in image.boxes if not box.is_crowd]


def _result(box: Box, image: Labelled) -> dict[str, Any]:
    left, top, right, bottom = box.xyxy
    value = {
        "x": 100 * left / image.width,
        "y": 100 * top / image.height,
        "width": 100 * (right - left) / image.width,
        "height": 100 * (bottom - top) / image.height,
        "rotation": 0,
        "rectanglelabels": [box.name],
    }
    names = {"from_name": "label", "to_name": "image", "type": "rectanglelabels"}
    return {
        **names,
        "original_width": image.width,
        "original_height": image.height,
        "value": value,
    }
