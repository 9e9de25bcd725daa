"""Label Studio: JSON and JSON-MIN exports, with boxes and polygons in percent of the image size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from unidet.formats.json_text import read_document, record_batches, shown
from unidet.formats.labels.records import (
    Box,
    Labelled,
    Labels,
    NoPicture,
    Notes,
    Owners,
    Pictures,
    RecordFault,
    Refuse,
    around,
    is_pair,
    leaving_out,
    name_of,
    names_met,
    number,
    size,
    strictly,
)
from unidet.formats.labels.turning import around_ellipse, turned
from unidet.formats.labels.whole_files import head_of
from unidet.formats.names import without_upload_mark

LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
_BOXED = ({"points"}, {"x", "y", "width", "height"}, {"x", "y", "radiusX", "radiusY"})
"""Fields of regions that have a bounding box."""
_SOURCE = ("to_name", "item_index")
"""Fields that say which image of the task, or which page, a result belongs to."""
_FRAME = ("image_rotation", "original_width", "original_height", *_SOURCE)
"""Fields of a result about its image, in addition to its value."""
Region = dict[str, Any]
_BEFORE = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
"""Bytes before the first value: byte order marks and spaces."""


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """Read a list of tasks; of several annotations of a task, the first not cancelled is used."""
    notes = Notes()
    owners = Owners()
    images: list[Labelled] = []
    for row, task in enumerate(_tasks(place)):
        with leaving_out(refuse):
            where = f"{place}: task[{row}]"
            image = _image(where, task, pictures, notes)
            if image is not None:
                owners.add(image.file_name, where)
                images.append(image)
    return Labels(names_met(images), tuple(images), notes.findings)


def _tasks(place: Path) -> Iterator[Any]:
    """The tasks of a list, or the one of a file that holds one."""
    if head_of(place, 64).lstrip(_BEFORE).startswith(b"{"):
        yield read_document(place)
        return
    for batch in record_batches(place, exactly=True):
        yield from batch.values


def _image(where: str, task: Any, pictures: Pictures, notes: Notes) -> Labelled | None:
    """The image of a task with its boxes; None if it was not annotated."""
    if not isinstance(task, dict):
        raise RecordFault(where, "must be an object", shown(task))
    values = task["data"] if isinstance(task.get("data"), dict) else task
    regions = list(_regions(where, task, notes))
    tags = {value.get("to_name") for _, value in regions if any(value.get(key) for key in LABELS)}
    name = _picture(where, values, pictures, tags)
    annotations = _annotations(task)
    if isinstance(annotations, list) and all(item.get("was_cancelled") for item in annotations):
        reason = "whose annotations were skipped" if annotations else "that nobody has annotated"
        notes.add(f"task {reason}: left out", where)
        return None
    sides = pictures.size(name)
    boxes = {row: _box(*region, sides, notes) for row, region in enumerate(regions)}
    boxed = {row: box for row, box in boxes.items() if box is not None}
    sources = {str([regions[row][1].get(key) for key in _SOURCE]) for row in boxed}
    if len(sources) > 1:
        raise RecordFault(
            where,
            f"{' and '.join(_SOURCE)} must be those of one image, give each image its own task",
            " and ".join(sorted(sources)),
        )
    return Labelled(name, *sides, tuple(boxed.values()))


def _box(where: str, value: Region, sides: tuple[int, int], notes: Notes) -> Box | None:
    """The box of a region; None, with a note, if it has none."""
    label = next((key for key in LABELS if value.get(key)), None)
    is_boxed = any(keys <= value.keys() for keys in _BOXED)
    if label is None and is_boxed:
        notes.add(f"region without a name ({', '.join(LABELS)} hold it): left out", where)
        return None
    if label is None or not is_boxed:
        notes.add(f"region without a box ({', '.join(LABELS)} have): left out", where)
        return None
    if value.get("image_rotation"):
        raise RecordFault(
            where,
            "'image_rotation' must be 0, boxes refer to the image file: rotate the file instead",
            shown(value["image_rotation"]),
        )
    texts = value[label]
    if isinstance(texts, list) and len(texts) > 1:
        notes.add("region with several names: the first counts, the others are left out", where)
    text = texts[0] if isinstance(texts, list) else texts
    _require_same_frame(where, value, sides)
    return Box(name_of(where, text), _xyxy(where, value, sides))


def _require_same_frame(where: str, value: Region, sides: tuple[int, int]) -> None:
    """RecordFault where a region was drawn on an image with another aspect ratio.

    The image was then rotated or cropped after labelling, and percentages do not fit any more. An
    image of another size may be the same.
    """
    written = value.get("original_width"), value.get("original_height")
    if any(side in (None, 0) for side in written):
        return
    width, height = size(where, *written)
    rounded = (width + height + sum(sides)) / 2  # half a pixel of each side
    if abs(width * sides[1] - height * sides[0]) > rounded:
        raise RecordFault(
            where,
            "its original_width and original_height must have the image's shape; it was rotated "
            "or cropped since it was labelled",
            f"{width}x{height}, the image is {sides[0]}x{sides[1]}",
        )


def _picture(where: str, values: dict[str, Any], pictures: Pictures, tags: set[Any]) -> str:
    """The image that a task names, as a path, an address or an upload.

    Of several images it is the one whose key is the tag of the regions, or else `image`.
    """
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    named = {key: _named(text, pictures) for key, text in texts.items()}
    names = {key: name for key, name in named.items() if name is not None}
    if not names:
        first = [*texts.values()][:1]
        lists = [value for value in values.values() if isinstance(value, list)]
        if not first and (several := [item for item in lists if {*map(type, item)} == {str}]):
            raise RecordFault(where, "must name one image, not a list", shown(several[0]))
        written = first[0] if first else first
        raise NoPicture(where, f"must name an image below {pictures.root}", written)
    if len({*names.values()}) > 1 and not names.keys() & {"image", *tags}:
        raise RecordFault(where, "must name one image, or that to label as 'image'", shown(names))
    tagged = [name for key, name in names.items() if key in tags]
    return tagged[0] if len(tagged) == 1 else names.get("image") or next(iter(names.values()))


def _named(text: str, pictures: Pictures) -> str | None:
    try:
        address = urlsplit(text)
    except ValueError:  # such as http://[x
        return None
    path = parse_qs(address.query).get("d", [unquote(address.path)])[0]
    folder, _, name = path.rpartition("/")
    plain = without_upload_mark(name)
    return pictures.find(path) or pictures.find(f"{folder}/{plain}" if folder else plain)


def _regions(where: str, task: dict[str, Any], notes: Notes) -> Iterator[tuple[str, Region]]:
    """Position and value of each region, for both kinds of exports."""
    annotations = _annotations(task)
    if not isinstance(annotations, list):
        lists = [value for value in task.values() if isinstance(value, list)]
        regions = [item for items in lists for item in items if _is_region(item)]
        yield from ((f"{where}: region[{row}]", region) for row, region in enumerate(regions))
        return
    for row, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            raise RecordFault(
                f"{where}: annotations[{row}]", "must be an object", shown(annotation)
            )
    kept = [item for item in annotations if not item.get("was_cancelled")]
    if len(kept) > 1:
        notes.add("task with several annotations: the first counts, the others are left out", where)
    counted: dict[str, Any] = kept[0] if kept else {}
    results = counted.get("result") or []
    if not isinstance(results, list):
        raise RecordFault(where, "'result' must be a list", shown(results))
    yield from _joined(where, results, notes)


def _annotations(task: dict[str, Any]) -> Any:
    """Those of a task, skipped ones included; no list in JSON-MIN."""
    return task.get("annotations", task.get("completions"))


def _is_region(item: Any) -> bool:
    return isinstance(item, dict) and not item.keys().isdisjoint((*LABELS, "original_width"))


def _joined(where: str, results: list[Any], notes: Notes) -> Iterator[tuple[str, Region]]:
    """Values of an annotation's results; results with the same id (shape and name) are merged."""
    places: dict[str, str] = {}
    values: dict[str, Region] = {}
    for row, item in enumerate(results):
        place = f"{where}: region[{row}]"
        if not isinstance(item, dict):
            raise RecordFault(place, "must be an object", shown(item))
        if item.get("type") == "choices":
            continue
        if item.get("type") == "relation":
            notes.add("relation between regions: left out", place)
            continue
        value = item.get("value")
        if not isinstance(value, dict):
            raise RecordFault(place, "must have a 'value'", shown(value))
        key = f"id {item['id']}" if "id" in item else place
        places.setdefault(key, place)
        frame = {name: item.get(name) for name in _FRAME}
        values[key] = {**values.get(key, {}), **frame, **value}
    yield from ((places[key], value) for key, value in values.items())


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
    angle = number(where, value.get("rotation") or 0, "'rotation'")
    x, y = percent("x", width), percent("y", height)
    if "radiusX" in value:
        across, down = percent("radiusX", width), percent("radiusY", height)
        return around_ellipse((x, y), (across, down), angle)
    right, bottom = x + percent("width", width), y + percent("height", height)
    corners = [(x, y), (right, y), (right, bottom), (x, bottom)]
    return around(turned(corners, (x, y), angle))


def write(labels: Labels, out: Path, images: Path) -> None:
    """Write `label_studio.json`, with paths of images as for local storage."""
    tasks = [
        {
            "data": {"image": f"/data/local-files/?d={quote(image.file_name)}"},
            "annotations": [{"result": [_result(box, image) for box in _drawn(image)]}],
        }
        for image in labels.images
    ]
    (out / "label_studio.json").write_text(json.dumps(tasks, ensure_ascii=False), "utf-8")


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
