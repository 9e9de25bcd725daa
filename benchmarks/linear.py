"""Scaling of CPU time and peak memory with the size of the task, as a table and a figure.

    python benchmarks/linear.py FIGURE.png

Tasks, at three sizes each: images that `detect` processes from files to drawings (NanoDet-Plus with
an input of 96 x 96 pixels), regions of an image in the toy study's second stage, and names that the
regions of an image are scored against. Each size runs in its own process. Compiling and loading are
not timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from names import measure, resident

from unidet.report.style import COLOURS, PAPER

SIZES = {
    "images": (250, 500, 1000),
    "regions": (250, 500, 1000),
    "names": (5000, 10_000, 20_000),
}
IMAGES = 20  # for timing regions
WARM_UP = 50  # images that are not timed


def images(count: int) -> float:
    from flat import detect

    from unidet.backend.runtime import bring_up

    bring_up("cpu")
    times: list[float] = []
    detect(WARM_UP + count, lambda: times.append(time.process_time()))
    return times[-1] - times[WARM_UP - 1]


def regions(count: int) -> float:
    from unidet.backend.runtime import bring_up

    bring_up("cpu")
    import jittor as jt
    from flat import stage2

    network, rng = stage2(), np.random.default_rng(0)
    image = jt.array(rng.standard_normal((1, 3, 128, 128), np.float32))
    corners = rng.uniform(0, 90, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(8, 30, (count, 2))], 1, dtype=np.float32)
    sizes = np.array([[128, 128]], np.int32)
    for number in range(IMAGES + 2):
        if number == 2:
            started = time.process_time()
        network.regions(image, sizes, [boxes])
    return (time.process_time() - started) / IMAGES


def names(count: int) -> float:
    return measure(count, at_once=False, images=4, regions=300)["seconds"]


def draw(table: dict[str, list[tuple[int, float, float]]], target: Path) -> None:
    with matplotlib.rc_context(PAPER):
        figure = Figure(figsize=(8, 4.4), layout="constrained")
        axes = figure.subplots(2, len(table), sharex="col", squeeze=False)
        for column, (what, rows) in enumerate(table.items()):
            counts, seconds, peaks = zip(*rows, strict=True)
            for row, (values, label) in enumerate(((seconds, "seconds"), (peaks, "peak MiB"))):
                axes[row, column].plot(counts, values, color=COLOURS[column], marker="o")
                axes[row, column].set(xlim=(0, None), ylim=(0, 1.15 * max(values)), ylabel=label)
            axes[1, column].set(xlabel=what, xticks=counts)
        figure.savefig(target, dpi=120)


def main(target: Path) -> None:
    table: dict[str, list[tuple[int, float, float]]] = {}
    print("| | CPU seconds | each | peak MiB |\n|---|---|---|---|")
    for what, counts in SIZES.items():
        for count in counts:
            command: list[Any] = [sys.executable, __file__, "--one", what, str(count)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            seconds, peak = json.loads(output.splitlines()[-1])
            table.setdefault(what, []).append((count, seconds, peak))
            each = 1e6 * seconds / count
            print(f"| {count:,} {what} | {seconds:.3f} | {each:,.0f} µs | {peak:.0f} |", flush=True)
    draw(table, target)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        seconds_of = {"images": images, "regions": regions, "names": names}[sys.argv[2]]
        print(json.dumps([seconds_of(int(sys.argv[3])), resident("VmHWM")]))
    else:
        main(Path(sys.argv[1]))
