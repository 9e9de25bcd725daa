"""Outputs of `unidet detect` for one image: drawing, labels, crops, an entry in the journal."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from PIL import Image

from unidet.errors import UserError
from unidet.pictures.decode import DRAWN_PIXELS, read_picture
from unidet.pictures.detections import Detections
from unidet.pictures.journal import Journal
from unidet.pictures.label_files import WRITERS
from unidet.pictures.naming import DRAWN_AS, Names, check_target, cut, is_inside
from unidet.pictures.result_files import FILES
from unidet.pictures.shots import Shot, frame_key
from unidet.pictures.sources import Source
from unidet.pictures.videos import frame_rate, video_file
from unidet.store.disk import make_folder, whole_file

Format = Literal["coco", "yolo", "voc", "csv", "labelme"]

_SAVE: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 90, "subsampling": 0},  # subsampling would blur thin coloured lines
    "WEBP": {"quality": 90},
    "TIFF": {"compression": "tiff_lzw"},
}
_UNWANTED = re.compile(r"[^\w-]+")
_NAMING = ("csv", "labelme")
"""Formats with the images' names as text in UTF-8."""


class Outputs:
    """Writes images in any order from several threads, and the frames of each video in order;
    closed by `with`.

    Args:
        folder: of all outputs; the journal is the one in it.
        format: of the labels.
        drawings, crops: whether to leave these.

    Attributes:
        removed: files of earlier runs that were removed.
    """

    def __init__(
        self, folder: Path, journal: Journal, format: Format, *, drawings: bool, crops: bool
    ) -> None:
        self.folder = folder
        self._journal = journal
        self.format = format
        self._drawings = drawings
        self._crops = crops
        self._video = ExitStack()
        self._append: Callable[[np.ndarray], None] | None = None
        self.removed: list[str] = []

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *error: Any) -> None:
        self._video.__exit__(*error)

    def planned(self, source: Source, names: Names) -> list[str]:
        """Output files of a source that are known before detection.

        Raises:
            UserError: the format cannot hold the source's name.
        """
        if self.format in _NAMING and not _is_text(source.name):
            formats = "csv and labelme hold names as text in UTF-8, which this one is not"
            raise UserError(f"{source.path}: {formats}; rename it, or choose another --format")
        planned = [names.drawing] if self._drawings else []
        if self.format in WRITERS and not source.is_video:
            planned.append(self._label_name(names.stem))
        return planned

    def write(
        self,
        source: Source,
        names: Names,
        shot: Shot,
        detections: Detections,
        proposals: np.ndarray | None,
    ) -> None:
        """Write all outputs of one image or frame.

        Args:
            detections: with boxes for an image of `shot.size_hw`.
            proposals: (N, 5) boxes and scores for an image of that size, which are drawn too.

        Raises:
            UserError: a file cannot be written or would replace the user's, or the image is gone.
        """
        stem = f"{names.stem}/{shot.frame:06d}" if shot.frame else names.stem
        files = []
        if self.format in WRITERS:
            files.append(self._write_labels(source, stem, detections))
        if self._drawings or self._crops:
            pixels = _full_size(source, shot)
            if self._drawings and shot.frame:
                self._append_frame(source, names, detections, pixels, proposals)
            elif self._drawings:
                files.append(self._draw(names, detections, pixels, proposals))
            if self._crops:
                files += self._write_crops(names.crops, shot.frame, detections, pixels)
        record = {"files": files, **_recorded(detections)}
        if shot.frame:
            self._add(frame_key(source.path, shot.frame), record)
        else:
            self._add(source.path, {"stat": shot.stat, **record})

    def end_video(self, source: Source, names: Names, end: Shot) -> None:
        """Finish a video after its last frame."""
        self._video.close()
        self._append = None
        files = [names.drawing] if self._drawings else []
        record = {"frames": end.frame, "lost": end.lost, "whole": not end.note, "files": files}
        self._add(source.path, {"stat": end.stat, **record})

    def remove_other_lists(self) -> None:
        """Remove the lists of earlier runs in another format."""
        names = {name for names in FILES.values() for name in names} - {*FILES[self.format]}
        self._remove(sorted(name for name in names if self._journal.owns(name)))

    def _add(self, key: str, record: Mapping[str, Any]) -> None:
        """Add an image to the journal, and remove its files of an earlier run that are not in its
        record.
        """
        self._remove(self._journal.add(key, record))

    def _remove(self, names: Iterable[str]) -> None:
        """Remove files of an earlier run, and folders that become empty.

        What lies behind a link out of the folder stays: the journal may come from elsewhere.
        """
        for name in names:
            file = self.folder / name
            if file.is_file() and is_inside(self.folder, file.parent):
                file.unlink()
                self.removed.append(name)
                for parent in PurePosixPath(name).parents[:-1]:
                    with suppress(OSError):  # not empty
                        (self.folder / parent).rmdir()

    def replace(self, name: str) -> Path:
        """The path of a file to be written; UserError if it exists and no run has written it."""
        check_target(self.folder, name, self._journal)
        self._journal.will_write(name)
        target = self.folder / name
        make_folder(target.parent)
        return target

    def _label_name(self, stem: str) -> str:
        folder, suffix, _ = WRITERS[self.format]
        return cut(f"{folder}/{stem}{suffix}")

    def _write_labels(self, source: Source, stem: str, detections: Detections) -> str:
        name = self._label_name(stem)
        target = self.replace(name)
        _, _, content_of = WRITERS[self.format]
        picture = os.path.relpath(os.path.abspath(source.path), os.path.abspath(target.parent))
        with whole_file(target) as partial:
            partial.write_bytes(content_of(detections, picture))
        return name

    def _draw(
        self, names: Names, detections: Detections, pixels: np.ndarray, proposals: np.ndarray | None
    ) -> str:
        target = self.replace(names.drawing)
        save_picture(_drawn(detections, pixels, proposals), target)
        return names.drawing

    def _append_frame(
        self,
        source: Source,
        names: Names,
        detections: Detections,
        pixels: np.ndarray,
        proposals: np.ndarray | None,
    ) -> None:
        if self._append is None:
            rate = frame_rate(Path(source.path))
            target = self.replace(names.drawing)
            self._append = self._video.enter_context(video_file(target, rate))
        self._append(np.asarray(_drawn(detections, pixels, proposals)))

    def _write_crops(
        self, folder: str, frame: int, detections: Detections, pixels: np.ndarray
    ) -> list[str]:
        """Write the crops by descending score, and remove those of an earlier run."""
        start = f"{frame:06d}_" if frame else ""
        for old in (self.folder / folder).glob(f"{start}[0-9][0-9]*_*.jpg"):
            name = f"{folder}/{old.name}"
            if self._journal.owns(name) and is_inside(self.folder, old.parent):
                old.unlink()
        files = []
        for number, (crop, label) in enumerate(
            zip(detections.crops(pixels), detections.labels, strict=True), start=1
        ):
            word = _UNWANTED.sub("_", detections.names[label])[:40]
            files.append(f"{folder}/{start}{number:02d}_{word}.jpg")
            save_picture(Image.fromarray(crop), self.replace(files[-1]))
        return files


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def detections_of(record: Mapping[str, Any], names: tuple[str, ...]) -> Detections:
    """The detections in a record of the journal; ValueError or TypeError if it holds others."""
    height, width = record["size_hw"]
    boxes = np.array(record["boxes"], np.float32).reshape(-1, 4)
    scores, labels = np.array(record["scores"], np.float32), np.array(record["labels"], np.int64)
    if not scores.shape == labels.shape == (len(boxes),):
        raise ValueError("boxes, scores and labels of different detections")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("detections that are no numbers")
    if ((labels < 0) | (labels >= len(names))).any():
        raise ValueError(f"labels that are not among {len(names)} names")
    return Detections(boxes, scores, labels, names, (height, width))


def _recorded(detections: Detections) -> dict[str, Any]:
    """Detections as a record of the journal, which `detections_of` reads."""
    return {
        "size_hw": detections.size_hw,
        "boxes": [[round(value, 2) for value in box] for box, _, _ in detections.rows()],
        "scores": [round(score, 6) for _, score, _ in detections.rows()],
        "labels": detections.labels.tolist(),
    }


def save_picture(picture: Image.Image, target: Path) -> None:
    """Write an image in the format of the suffix."""
    kind = DRAWN_AS[PurePosixPath(target.name).suffix.lower()]
    content = BytesIO()  # Pillow's own writing to a file does not tell that a full disk took a part
    picture.save(content, kind, **_SAVE.get(kind, {}))
    with whole_file(target) as partial:
        partial.write_bytes(content.getbuffer())


def _full_size(source: Source, shot: Shot) -> np.ndarray:
    assert shot.pixels is not None
    if shot.pixels.shape[:2] == shot.size_hw:
        return shot.pixels
    return read_picture(Path(source.path), DRAWN_PIXELS).pixels


def _drawn(detections: Detections, pixels: np.ndarray, proposals: np.ndarray | None) -> Image.Image:
    from unidet.report.draw import draw_proposals

    if proposals is not None:
        height, width = detections.size_hw
        factors = np.tile([pixels.shape[1] / width, pixels.shape[0] / height], 2)
        pixels = draw_proposals(pixels, proposals[:, :4] * factors, proposals[:, 4])
    return replace(detections, source=None).draw(pixels)
