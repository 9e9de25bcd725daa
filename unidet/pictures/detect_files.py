"""`unidet detect`: decoding, network and writing in parallel, with bounded memory."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np

from unidet.console.interrupt import Interrupted
from unidet.console.terminal import Progress, say
from unidet.counts import counted
from unidet.pictures.detections import Detections
from unidet.pictures.journal import Journal
from unidet.pictures.naming import Names, check_targets, name_outputs
from unidet.pictures.odd_detections import Alike
from unidet.pictures.outputs import Format, Outputs, detections_of
from unidet.pictures.read_ahead import ReadAhead
from unidet.pictures.result_files import FILES, Ids, Numbers, Row, write_results
from unidet.pictures.shots import Shot, expected, frame_key, shots_of
from unidet.pictures.sources import Source
from unidet.pictures.spelling import require_told_apart
from unidet.pictures.write_behind import WriteBehind

READ_AHEAD = 450_000_000  # most bytes of images that are decoded ahead
IMAGES_AHEAD = 64  # most images: of small ones, more take memory and save no time
LARGE = 4_000_000  # pixels; larger images are drawn one at a time
THREADS = 8
"""Number of decoding threads and of writing threads, for any number of cores.

Jittor holds Python's global lock while it computes, unless a network is recorded. Meanwhile each
thread can only finish its current call of a decoder or encoder.
"""
MOST_LISTED = 20  # up to this number of images, each has a line of output


@dataclass(frozen=True)
class FileDetector:
    """A detector.

    Attributes:
        names: the categories, in the order of the labels.
        detect: images (H, W, 3) uint8 RGB -> their detections, in order, reading a few ahead.
        propose: image (H, W, 3) uint8 RGB -> (N, 5) boxes and scores for drawing, or None.
        identity: everything that the detections depend on, as JSON.
    """

    names: tuple[str, ...]
    detect: Callable[[Iterable[np.ndarray]], Iterator[Detections]]
    propose: Callable[[np.ndarray], np.ndarray] | None
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """The requested outputs in `folder`.

    Attributes:
        format: format of the labels.
        drawings, crops: whether to write these.
        annotations: a COCO or LVIS file; only its images are processed, and its ids of images and
            categories are used. Without it, ids are 1, 2, ….
    """

    folder: Path
    format: Format = "coco"
    drawings: bool = True
    crops: bool = False
    annotations: Path | None = None


@dataclass
class Summary:
    """Numbers of images (or frames), boxes, and sources that were done before, that could not be
    read, and that could be read only in part (videos)."""

    pictures: int = 0
    boxes: int = 0
    resumed: int = 0
    faults: int = 0
    partial: int = 0


def detect_files(
    sources: Sequence[Source], open_model: Callable[[], FileDetector], wanted: Wanted
) -> Summary:
    """Detect in all unfinished sources and write their outputs, then the lists of all images.

    A source is finished if it has not changed since the same detector processed it with the same
    settings. Unreadable sources are reported and skipped. An interrupted run leaves complete files
    of its finished sources.

    Args:
        open_model: called after everything else has been checked.

    Raises:
        UserError: an output would replace a file of the user or cannot be written; the annotations
            lack a category or all sources.
    """
    with Journal(wanted.folder) as journal:
        numbers = Numbers.read(wanted.annotations) if wanted.annotations else None
        if numbers is not None:
            count, sources = len(sources), numbers.known(sources)
            absent = count - len(sources)
            if absent:
                what = counted(absent, "source is", "sources are")
                say(f"{what} not in {numbers.file}; passed over")
        outputs = Outputs(
            wanted.folder, journal, wanted.format, drawings=wanted.drawings, crops=wanted.crops
        )
        names = name_outputs(sources)
        planned = [outputs.planned(*pair) for pair in zip(sources, names, strict=True)]
        check_targets(wanted.folder, chain(FILES[wanted.format], *planned), sources, journal)
        crops = [own.crops for own in names] if wanted.crops else []
        require_told_apart(wanted.folder, chain(*planned, crops))
        detector = open_model()
        if wanted.drawings:
            _tell_of_boxed(detector.names)
        ids = numbers.ids(detector.names) if numbers else Ids.counted(detector.names)
        run = _Run(sources, names, detector, outputs, journal)
        run.resume(asdict(wanted))
        try:
            run.detect()
        except Interrupted:
            run.finish(ids)
            raise
        run.finish(ids)
        return run.summary


def _tell_of_boxed(names: Sequence[str]) -> None:
    from unidet.report.label_text import boxed

    if found := boxed(names):
        rest = f" and {len(found) - 1} more" if len(found) > 1 else ""
        say(
            f"note: the drawings show boxes (□) in {found[0]!r:.40}{rest}, as their font, DejaVu "
            "Sans, lacks the characters; the files with the detections hold the names"
        )


class _Run:
    """A run: its sources, which of them are finished, and its progress."""

    def __init__(
        self,
        sources: Sequence[Source],
        names: Sequence[Names],
        detector: FileDetector,
        outputs: Outputs,
        journal: Journal,
    ) -> None:
        self.summary = Summary()
        self._sources = sources
        self._names = names
        self._detector = detector
        self._outputs = outputs
        self._journal = journal
        self._alike = Alike()
        self._done = bytearray(len(sources))  # by the number of a source, 1 if it is finished

    def resume(self, settings: Mapping[str, Any]) -> None:
        """Find sources that this detector has finished with these settings."""
        detector = self._detector
        settings = {name: settings[name] for name in ("format", "drawings", "crops")}
        settings |= {"names": detector.names, "proposals": detector.propose is not None}
        self._journal.begin({**detector.identity, **settings})
        for number, source in enumerate(self._sources):
            record = None if source.fault else self._journal.done(source.path)
            if record is not None:
                self._finish(number)
                self.summary.partial += record.get("whole") is False
        self.summary.resumed = self._done.count(1)
        if self.summary.resumed:
            say(f"{self.summary.resumed} of {len(self._sources)} are done already")

    def detect(self) -> None:
        """Process all unfinished sources."""
        todo = [number for number, done in enumerate(self._done) if not done]
        pending: deque[Shot] = deque()
        with ExitStack() as stack:
            meter = stack.enter_context(_Meter(expected(self._sources, todo)))
            stack.enter_context(self._outputs)
            writer = stack.enter_context(WriteBehind(THREADS))
            works = shots_of(self._sources, todo)
            ahead = ReadAhead(works, threads=THREADS, most=READ_AHEAD, count=IMAGES_AHEAD)
            shots = stack.enter_context(ahead)
            for detections in self._detector.detect(self._pixels(shots, pending, meter)):
                self._write(writer, pending.popleft(), detections)
                self._end_videos(writer, pending)
                meter.update()
            self._end_videos(writer, pending)

    def finish(self, ids: Ids) -> None:
        """Write the lists of all images."""
        rows = self._rows()
        outputs = self._outputs
        write_results(outputs.format, outputs.replace, rows, self._detector.names, ids)
        deque(rows, maxlen=0)  # consumes the rows for formats without lists, to count them
        if line := self._alike.line():
            say(f"note: {line}")
        outputs.remove_other_lists()
        if outputs.removed:
            files = counted(len(outputs.removed), "file")
            say(f"{outputs.folder}: {files} of earlier runs for these images removed")

    def _pixels(
        self, shots: Iterable[Shot], pending: deque[Shot], meter: _Meter
    ) -> Iterator[np.ndarray]:
        """Images for the network; their shots are appended to `pending`."""
        for shot in shots:
            if shot.fault:
                say(f"{shot.fault}; passed over")
                self.summary.faults += 1
                meter.update()
                continue
            pending.append(shot)
            if shot.note:
                say(f"{self._sources[shot.number].path}: {shot.note}")
            if shot.pixels is not None:
                yield shot.pixels
            elif shot.note:  # the end of a video
                self.summary.partial += 1

    def _write(self, writer: WriteBehind, shot: Shot, detections: Detections) -> None:
        assert shot.pixels is not None
        source, names = self._sources[shot.number], self._names[shot.number]
        proposals = None
        if self._detector.propose is not None:
            proposals = self._detector.propose(shot.pixels)
            (height, width), sides = shot.size_hw, shot.pixels.shape
            proposals[:, :4] *= np.tile([width / sides[1], height / sides[0]], 2)
        own = detections.resized(shot.size_hw)
        writer.submit(
            partial(self._outputs.write, source, names, shot, own, proposals),
            None if shot.frame else partial(self._finish, shot.number),
            in_turn=bool(shot.frame) or math.prod(shot.size_hw) > LARGE,
        )
        if len(self._sources) <= MOST_LISTED and not shot.frame:
            say(f"{source.path}: {counted(len(detections), 'box', 'boxes')}")

    def _end_videos(self, writer: WriteBehind, pending: deque[Shot]) -> None:
        """Finish videos whose frames have all been passed to the writer."""
        while pending and pending[0].pixels is None:
            shot = pending.popleft()
            source, names = self._sources[shot.number], self._names[shot.number]
            writer.submit(
                partial(self._outputs.end_video, source, names, shot),
                partial(self._finish, shot.number),
                in_turn=True,
            )

    def _finish(self, number: int) -> None:
        self._done[number] = 1

    def _rows(self) -> Iterator[Row]:
        """Detections of all finished sources, in the order of sources."""
        for source in compress(self._sources, self._done):
            for end, key in self._keys(source):
                with self._journal.read():
                    detections = detections_of(self._recorded(key), self._detector.names)
                self.summary.pictures += 1
                self.summary.boxes += len(detections)
                self._alike.add(detections)
                yield Row(source.name + end, key, detections)

    def _keys(self, source: Source) -> Iterator[tuple[str, str]]:
        """Ending of the name, and key, of an image or of each frame of a video."""
        record = self._recorded(source.path)
        if "frames" not in record:
            yield "", source.path
            return
        with self._journal.read():
            frames, lost = range(1, record["frames"] + 1), {*record["lost"]}
        for count in frames:
            if count not in lost:
                yield f"#{count}", frame_key(source.path, count)

    def _recorded(self, key: str) -> dict[str, Any]:
        record = self._journal.record(key)
        if record is None:  # a frame, that of a video which is finished
            raise self._journal.damaged()
        return record


class _Meter:
    """Progress in images per second, measured after the first image, which compiles kernels."""

    def __init__(self, total: int) -> None:
        self._progress = Progress("detecting")
        self._total = total
        self._done = 0
        self._first = 0.0

    def __enter__(self) -> _Meter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.close()

    def update(self) -> None:
        """Count one image; interrupts take effect here."""
        self._done += 1
        self._total = max(self._total, self._done)
        note = ""
        if self._done == 1:
            self._first = time.monotonic()
        else:
            rate = (self._done - 1) / max(time.monotonic() - self._first, 1e-9)
            note = f"{rate:.1f} pictures/s"
        self._progress.update(self._done, self._total, note)
