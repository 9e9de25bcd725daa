"""What `unidet detect` leaves: where each picture's drawing goes, and the list of all boxes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unidet.errors import UserError
from unidet.store.disk import check_folder, whole_file

RESULTS = "detections.json"
_MARK = ("Software", "unidet detect")  # a drawing may be replaced by a later one, nothing else may
_EMPTY, _FIRST = "[\n]\n", '[\n{"image": '


def plan_drawings(images: Sequence[str], folder: Path) -> dict[str, Path]:
    """Picture -> its drawing in `folder`, below the folders that the pictures do not share.

    Drawings are called NAME.png, or NAME.EXTENSION.png where two would have one name. A picture
    that is given twice is drawn once.

    Raises:
        UserError: a drawing, or `detections.json`, would replace a picture or any other file that
            `unidet detect` has not made, or cannot be written.
    """
    pictures: dict[str, str] = {}
    for image in images:
        pictures.setdefault(os.path.abspath(image), image)
    shared = os.path.commonpath([os.path.dirname(path) for path in pictures])
    places = [Path(os.path.relpath(path, shared)) for path in pictures]
    names = [place.with_suffix(".png") for place in places]
    if len(set(names)) < len(names):
        names = [place.with_name(f"{place.name}.png") for place in places]
    drawings = {image: folder / name for image, name in zip(pictures.values(), names, strict=True)}
    inputs = {os.path.realpath(path) for path in pictures}
    for target in (folder / RESULTS, *drawings.values()):
        _check_target(target, inputs)
    return drawings


def save_drawing(drawing: Image.Image, target: Path) -> None:
    """As PNG, with a mark by which a later run knows that it may replace it."""
    mark = PngInfo()
    mark.add_text(*_MARK)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as partial:
        drawing.save(partial, pnginfo=mark)


@contextmanager
def results_file(folder: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Writes one record after another into `detections.json`, a JSON list with a record a line.

    A record begins with its image. The file is there when all are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / RESULTS) as partial, open(partial, "w") as stream:
        separator = "[\n"

        def write(record: dict[str, Any]) -> None:
            nonlocal separator
            stream.write(separator + json.dumps(record))
            separator = ",\n"

        yield write
        stream.write(_EMPTY if separator == "[\n" else "\n]\n")


def _check_target(target: Path, inputs: set[str]) -> None:
    check_folder(target.parent)
    if os.path.realpath(target) in inputs:
        raise UserError(
            f"--out: the drawing {target} would replace a picture that is read; choose another "
            "folder, such as --out detections"
        )
    if os.path.lexists(target) and not _is_own(target):
        raise UserError(
            f"--out: {target} is there and was not made by unidet detect; choose another folder, "
            "such as --out detections"
        )


def _is_own(target: Path) -> bool:
    """Whether a former run has left what stands there."""
    if not target.is_file():
        return False
    if target.name == RESULTS:
        with open(target, errors="replace") as stream:
            head = stream.read(len(_FIRST))
        return head in (_FIRST, _EMPTY)
    try:
        with Image.open(target) as drawing:
            name, value = _MARK
            return drawing.info.get(name) == value
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
