"""Speed and memory of both full-size networks in one precision.

    python benchmarks/speed.py cpu|cuda RESULTS.json float32|tf32|bfloat16|float16 [--quick]

TF32 also needs NVIDIA_TF32_OVERRIDE=1 in the environment. RESULTS.json is updated after each
measurement. With `--quick`, images and regions are those of `networks.py --quick`, and one run is
timed.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from whole_files import write_text

TRUNK_FORWARD = "ResNet-50, FPN, proposal head: forward, 2 images"
TRUNK_STEP = "ResNet-50, FPN, proposal head: training step, 2 images"
WARM_UP, TIMED = 3, 10
FULL, QUICK = (800, 1088), (128, 160)
"""Height and width of images."""


def timed(work: Callable[[], Any], wait: Callable[[], Any], quick: bool) -> float:
    """Median seconds of several runs, after warm-up runs that are not counted."""
    times = []
    for _ in range(2 if quick else WARM_UP + TIMED):
        started = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - started)
    return float(np.median(times[1 if quick else WARM_UP :]))


class Figures:
    """Seconds and mebibytes by name, written to disk after each measurement."""

    def __init__(self, target: str, wait: Callable[[], Any], quick: bool) -> None:
        self.target, self.wait, self.quick = Path(target), wait, quick
        self.values: dict[str, dict[str, float]] = {}

    def add(self, name: str, work: Callable[[], Any], mebibytes: Callable[[], float]) -> None:
        seconds = timed(work, self.wait, self.quick)
        self.values[name] = {"seconds": seconds, "mebibytes": mebibytes()}
        write_text(self.target, json.dumps(self.values, indent=1))
        print(f"{name}: {seconds:.4f} s, {self.values[name]['mebibytes']:.0f} MiB", flush=True)


def mebibytes_held() -> float:
    """Memory in use on the GPU; on a CPU, the peak memory of this process."""
    import ctypes
    import resource

    import jittor as jt

    if not jt.flags.use_cuda:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    free, whole = ctypes.c_size_t(), ctypes.c_size_t()
    ctypes.CDLL("libcuda.so.1").cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(whole))
    return (whole.value - free.value) / 2**20


def works(quick: bool) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names and timed functions. benchmarks/twin.py has the first two in PyTorch."""
    import jittor as jt
    from networks import example, first_stage
    from rows import full_size

    from unidet.training.optimizer import Optimizer

    network, settings = first_stage()
    pair = example(2, quick)

    def trunk() -> jt.Var:
        output = network.rpn_head(network.pyramid(jt.array(pair.images_NCHW)))
        return (output.logits_NA**2).mean() + (output.offsets_NA4**2).mean()

    def forward() -> None:
        with jt.no_grad():
            trunk().sync()

    optimizer = Optimizer(network, settings)

    def update() -> None:
        optimizer.add(trunk())
        optimizer.step(0.0)

    yield TRUNK_FORWARD, forward
    yield TRUNK_STEP, update
    yield "stage 1: training step, 2 images", full_size.propose_step(2, quick).run
    yield "stage 2: training step, 2 images", full_size.classify_step(2, quick).run
    yield "stage 1: inference, 1 image", full_size.propose(quick).run
    proposals = 30 if quick else 300
    name = f"stage 2: inference, 1 image, {proposals} proposals"
    yield name, full_size.classify(proposals, quick).run


def main(device: str, target: str, precision: str, quick: bool) -> None:
    from unidet.backend.runtime import bring_up

    print(bring_up(device), flush=True)
    import jittor as jt

    from unidet.training.precision import computing_in

    figures = Figures(target, lambda: jt.sync_all(True), quick)
    mixed = precision if precision in ("bfloat16", "float16") else "float32"
    for name, work in works(quick):
        if mixed != "float32" and "inference" in name:
            continue  # inference is always in float32

        def run(work: Callable[[], Any] = work) -> None:
            with computing_in(mixed):
                work()

        gc.collect()
        jt.gc()  # frees the memory pool of the previous measurement
        figures.add(name, run, mebibytes_held)


if __name__ == "__main__":
    main(*sys.argv[1:4], quick="--quick" in sys.argv)
