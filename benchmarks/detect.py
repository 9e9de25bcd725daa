"""`unidet detect` compared with its network alone: images per second, CPU time, memory.

    python benchmarks/detect.py IMAGES RESULTS.json COUNT [rounds=5] [in_round=64] [name=value …]

IMAGES is a folder of photographs. Memory is measured over COUNT images, which are links to these
photographs; with 0 only rates are measured. Further arguments are passed to `unidet.load`:
study=bench, weights=nanodet.pth, …; names="cat, dog" names the classes of a model without names.
A round times `in_round` images. The rate of the network alone is measured on decoded images. Both
rates are measured alternately, because the speed of a machine changes. CPU time is more reliable
than rates while other processes run.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from unidet.pictures.decode import read_picture
from unidet.pictures.detect_files import FileDetector, Wanted, detect_files
from unidet.pictures.detections import Detections
from unidet.pictures.sources import Source, find_sources
from unidet.pipelines.detector.model import load
from unidet.pipelines.detector.options import Options

Detect = Callable[[Iterable[np.ndarray]], Iterator[Detections]]


def resident() -> float:
    """Resident memory of this process in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1000


def watched(detect: Detect, memory: list[float]) -> Detect:
    """`detect`, with the memory appended to `memory` after every hundredth image."""

    def run(images: Iterable[np.ndarray]) -> Iterator[Detections]:
        for count, detections in enumerate(detect(images), start=1):
            if count % 100 == 0:
                memory.append(round(resident(), 1))
            yield detections

    return run


def seconds(work: Callable[[], Any]) -> np.ndarray:
    """(2,) wall-clock seconds, and CPU seconds of all threads."""
    start = np.array([time.perf_counter(), time.process_time()])
    work()
    return np.array([time.perf_counter(), time.process_time()]) - start


def detect_into(folder: Path, sources: Sequence[Source], detect: Detect, names: Any) -> None:
    detect_files(sources, lambda: FileDetector(names, detect, None, {}), Wanted(folder))


def rates(detect: Detect, names: Any, some: Sequence[Source], rounds: int) -> dict[str, float]:
    """Medians over the rounds: images per second, CPU milliseconds per image, and ratios.

    `alone` is the network on decoded images, `whole` is the command from files to outputs.
    """
    pixels = [read_picture(Path(source.path)).pixels for source in some]
    alone, whole = [], []
    for number in range(-1, rounds):  # round -1 compiles and does not count
        with tempfile.TemporaryDirectory() as folder:
            lone = seconds(lambda: list(detect(pixels))) / len(some)
            full = seconds(lambda out=Path(folder): detect_into(out, some, detect, names))
        full /= len(some)
        print(f"{1 / lone[0]:.2f} alone, {1 / full[0]:.2f} whole", file=sys.stderr)
        if number >= 0:
            alone.append(lone)
            whole.append(full)
    figures = {}
    for key, several in (("alone", alone), ("whole", whole)):
        clock, processor = np.median(several, axis=0).tolist()
        figures |= {key: 1 / clock, f"{key}_ms_processor": 1000 * processor}
    ratio = np.median(np.array(alone) / np.array(whole), axis=0).tolist()
    return {**figures, "ratio": ratio[0], "ratio_processor": ratio[1]}


def of_many(sources: Sequence[Source], count: int, detect: Detect, names: Any) -> dict[str, Any]:
    """Time and memory of `count` images, the sources repeated."""
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        links = Path(folder, "pictures")
        links.mkdir()
        for number, source in enumerate(islice(cycle(sources), count)):
            link = links / f"{number:05d}_{Path(source.name).name}"
            link.symlink_to(Path(source.path).resolve())
        many = find_sources([str(links)])
        out = Path(folder, "out")
        took, _ = seconds(lambda: detect_into(out, many, watched(detect, memory), names)).tolist()
    return {"pictures": count, "seconds": took, "resident_mb": memory}


def main(images: Path, results: Path, count: int, *arguments: str) -> None:
    options = dict(item.split("=", 1) for item in arguments)
    names = options.pop("names", None)
    rounds, in_round = int(options.pop("rounds", 5)), int(options.pop("in_round", 64))
    model = load(**options)
    classes = model.names or tuple(name.strip() for name in str(names).split(","))
    sources = find_sources([str(images)])

    def detect(images: Iterable[np.ndarray]) -> Iterator[Detections]:
        return model.stream(images, names, Options())

    measured: dict[str, Any] = rates(detect, classes, sources[:in_round], rounds)
    if count:
        measured |= of_many(sources, count, detect, classes)
    results.write_text(json.dumps(measured, indent=1))
    print(json.dumps(measured))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
