"""One row of the table of speeds (docs/measurements.md): processor time, time, memory.

    python benchmarks/rows.py ROW [TURNS [WARM_UP]]

ROW is one of `ROWS`. Networks, images and proposals are those of benchmarks/networks.py. A line of
JSON: median seconds of the processor and of the clock a turn, and the most memory in MiB. Threads
are `OMP_NUM_THREADS`; on a machine with other work, one thread's processor time compares best.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.networks import example, fill, first_stage, second_stage
from unidet.backend.runtime import bring_up
from unidet.cli import compose


def trunk() -> Callable[[], Any]:
    """Backbone and FPN, 3 x 800 x 1088."""
    network, _ = first_stage()
    network.backbone.set_batch_norm_training(False)
    images = jt.array(example(1).images_NCHW)

    def forward() -> None:
        with jt.no_grad():
            jt.sync(network.pyramid(images))

    return forward


def propose() -> Callable[[], Any]:
    """Stage 1, one image."""
    network, _ = first_stage()
    batch = example(1)
    images = jt.array(batch.images_NCHW)
    return lambda: network.propose(images, batch.sizes_N2)


def _step(network: Any, settings: Any, images: int) -> Callable[[], Any]:
    from unidet.training.optimizer import Optimizer
    from unidet.training.step import Stepper, as_it_is

    prepare = as_it_is
    if hasattr(network, "sample"):
        prepare = network.sample
    step = Stepper(network, network.loss, prepare, Optimizer(network, settings), parts=1)
    batch = example(images)
    return lambda: jt.sync(list(step(batch, (0, 0), 0.0).values()))


def propose_step(images: int = 1) -> Callable[[], Any]:
    """Training step of stage 1."""
    return _step(*first_stage(), images)


def classify(count: int) -> Callable[[], Any]:
    """Stage 2, one image of `count` proposals, 1,230 names."""
    network, _ = second_stage()
    network.set_vocabularies([np.random.default_rng(2).standard_normal((1230, 1024))])
    batch = example(1)
    images, rows = jt.array(batch.images_NCHW), [batch.proposals[0][:count]]

    def work() -> None:
        ((_, embeddings),) = network.regions(images, batch.sizes_N2, rows)
        with jt.no_grad():
            network.classifier(jt.array(embeddings), 0).sync()

    return work


def classify_step() -> Callable[[], Any]:
    """Training step of stage 2, 512 regions of one image."""
    return _step(*second_stage(), 1)


def rtdetr() -> Callable[[], Any]:
    """RT-DETR-R18vd of 80 classes, one image of 640 x 640."""
    from unidet.models.rtdetr.network import RTDETR

    network = RTDETR(compose(["rpn=rtdetr_r18vd"]).rpn.network, classes=80)
    return _detection(network, 640)


def nanodet() -> Callable[[], Any]:
    """NanoDet-Plus-m, one image of 416 x 416."""
    from unidet.pipelines.proposers.proposer import build_proposer

    return _detection(build_proposer(compose(["rpn=nanodet_plus_m_416"]).rpn, 0), 416)


def _detection(network: Any, side: int) -> Callable[[], Any]:
    fill(network)
    images = jt.array(np.random.default_rng(0).standard_normal((1, 3, side, side), np.float32))
    sizes = np.full((1, 2), side, np.int32)
    return lambda: network.propose(images, sizes)


ROWS = {
    "trunk": trunk,
    "stage1": propose,
    "stage1-step": propose_step,
    "stage1-step-2": lambda: propose_step(2),
    "stage2-100": lambda: classify(100),
    "stage2-300": lambda: classify(300),
    "stage2-step": classify_step,
    "rtdetr": rtdetr,
    "nanodet": nanodet,
}


def main(row: str, turns: str = "5", warm_up: str = "2") -> None:
    work = ROWS[row]()
    for _ in range(int(warm_up)):
        work()
    spent = []
    for _ in range(int(turns)):
        started = time.process_time(), time.perf_counter()
        work()
        jt.sync_all(True)
        spent.append((time.process_time() - started[0], time.perf_counter() - started[1]))
    processor, clock = np.median(spent, axis=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"row": row, "processor": processor, "clock": clock, "MiB": round(peak)}))


if __name__ == "__main__":
    bring_up("cpu")
    import jittor as jt

    main(*sys.argv[1:])
