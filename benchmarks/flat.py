"""Resident memory over many training steps or many images, which should not grow.

    python benchmarks/flat.py RESULTS.json [COUNT] [WHAT …]

WHAT is stage1, stage2, nanodet_plus, rtdetr or detr (COUNT training steps, default 2,000, with
images, boxes and proposals of varying size and number) or detect (COUNT images of varying size,
default 10,000, from files to drawings). Networks are small, so this takes minutes. Each runs in its
own process, one after the other. RESULTS.json receives MiB after every `EVERY` steps or images.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

EVERY, SETTLED = 50, 50
"""Memory is measured every `EVERY` steps; growth is relative to memory after `SETTLED` steps."""
SIDES = (96, 128, 160, 192)


def resident() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def stage1(page: str = "toy") -> Any:
    from unidet.cli import compose
    from unidet.pipelines.proposers.proposer import build_proposer

    return build_proposer(compose(["experiment=toy", f"rpn={page}"]).rpn, 0)


def stage2() -> Any:
    from unidet.cli import compose
    from unidet.pipelines.wiring.classifier import build_classifier

    network = build_classifier(compose(["experiment=toy"]).roi.network)
    rng = np.random.default_rng(2)
    network.set_vocabularies([rng.standard_normal((count, 128)) for count in (10, 40)])
    return network


def nanodet_plus() -> Any:
    return stage1("toy_nanodet_plus")


def rtdetr() -> Any:
    """RT-DETR with decoder width 64 instead of 256 and one block per layer."""
    from unidet.cli import compose
    from unidet.models.rtdetr import decoder, network

    decoder.WIDTH, decoder.HIDDEN = 64, 128
    network.VARIANTS["r18vd"] = network.Variant("basic", (1, 1, 1, 1), 64, 128, 0.5, 2, False)
    settings = compose(["experiment=toy", "rpn=toy_rtdetr", "rpn.network.queries=20"]).rpn.network
    return network.RTDETR(settings, classes=1)


def detr() -> Any:
    """DETR with width 64 instead of 256, two layers instead of six, and a small ResNet."""
    from unidet.cli import compose
    from unidet.models.detr import network

    network.WIDTH, network.HIDDEN, network.LAYERS = 64, 128, 2
    network._backbone = lambda _: compose(["experiment=toy"]).rpn.network.backbone
    settings = compose(["experiment=toy", "rpn=toy_detr", "rpn.network.queries=20"]).rpn.network
    return network.DETR(settings, classes=1)


NETWORKS = (stage1, stage2, nanodet_plus, rtdetr, detr)


def batch(step: int) -> Any:
    """The batch of a step: one random image, up to five boxes and a hundred proposals."""
    from unidet.records import Batch

    rng = np.random.default_rng(step)
    height, width = (int(side) for side in rng.choice(SIDES, 2))
    boxes = _boxes(rng, int(rng.integers(6)), height, width)
    near = np.repeat(boxes, 4, axis=0) + rng.normal(0, 3, (4 * len(boxes), 4))
    regions = np.concatenate([near, _boxes(rng, int(rng.integers(20, 80)), height, width)])
    regions = np.clip(regions, 0, [width, height] * 2)
    return Batch(
        images_NCHW=rng.standard_normal((1, 3, height, width), np.float32),
        sizes_N2=np.array([[height, width]], np.int32),
        scales_N4=np.ones((1, 4), np.float32),
        flips_N2=np.zeros((1, 2), bool),
        boxes=[boxes],
        labels=[np.zeros(len(boxes), np.int32)],
        dataset_ids=np.zeros(1, np.int32),
        image_rows=np.zeros(1, np.int32),
        proposals=[np.c_[regions, rng.uniform(0, 1, len(regions))].astype(np.float32)],
    )


def _boxes(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    corners = rng.uniform(0, [width / 2, height / 2], (count, 2))
    far = corners + rng.uniform(8, 30, (count, 2))
    return np.concatenate([corners, far], axis=1).astype(np.float32)


def train(network: Any, steps: int) -> Iterator[None]:
    import jittor as jt

    from unidet.config.training import OptimizerConfig
    from unidet.training.optimizer import Optimizer
    from unidet.training.step import Stepper, as_it_is

    settings = OptimizerConfig(kind="adamw", lr=1e-4, weight_decay=0.01, clip_norm=1.0)
    prepare = network.sample if hasattr(network, "sample") else as_it_is
    stepper = Stepper(network, network.loss, prepare, Optimizer(network, settings), parts=1)
    for step in range(steps):
        jt.sync(list(stepper(batch(step), (0, step), 1.0).values()))
        yield


def detect(images: int, note: Callable[[], None]) -> None:
    """Detect in `images` files and draw, with a NanoDet-Plus with an input of 96 x 96 pixels."""
    from PIL import Image

    from unidet.cli import compose
    from unidet.pictures.detect_files import FileDetector, Wanted, detect_files
    from unidet.pictures.sources import find_sources
    from unidet.pipelines.detector.closed_set import ClosedSet
    from unidet.pipelines.detector.model import Model
    from unidet.pipelines.detector.options import Options
    from unidet.pipelines.proposers.proposer import build_proposer

    rpn = compose(["rpn=nanodet_plus_m_416", "rpn.training=null", "rpn.images.test_side=96"]).rpn
    network: Any = build_proposer(rpn, 80)
    names = [f"class {number}" for number in range(80)]
    model, rng = Model(ClosedSet(network, rpn.images, names, 300)), np.random.default_rng(0)

    def noted(pixels: Iterable[np.ndarray]) -> Iterator[Any]:
        for detections in model.stream(pixels, options=Options(threshold=0.005, top_k=5)):
            note()
            yield detections

    with tempfile.TemporaryDirectory() as folder:
        originals = []
        for number in range(100):
            height, width = rng.integers(40, 120, 2)
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            originals.append(Path(folder, f"original{number}.jpg"))
            Image.fromarray(pixels).save(originals[-1])
        links = Path(folder, "images")
        links.mkdir()
        for number in range(images):
            (links / f"{number:05d}.jpg").symlink_to(originals[number % 100])
        sources = find_sources([str(links)])
        wanted = Wanted(Path(folder, "out"))
        detect_files(sources, lambda: FileDetector(names, noted, None, {}), wanted)


def one(what: str, count: int) -> None:
    from unidet.backend.runtime import bring_up

    bring_up("cpu")
    import jittor as jt

    jt.set_global_seed(0)
    memory: list[float] = []
    done = 0

    def note() -> None:
        nonlocal done
        done += 1
        if done % EVERY == 0:
            memory.append(round(resident(), 1))
            print(json.dumps(memory), flush=True)

    if what == "detect":
        detect(count, note)
    else:
        (build,) = (build for build in NETWORKS if build.__name__ == what)
        for _ in train(build(), count):
            note()


def main(results: Path, count: int | None, *wanted: str) -> None:
    known = json.loads(results.read_text()) if results.exists() else {}
    for what in wanted or (*(build.__name__ for build in NETWORKS), "detect"):
        number = count or (10_000 if what == "detect" else 2_000)
        command = [sys.executable, __file__, "--one", what, str(number)]
        lines = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        known[what] = memory = json.loads(lines[-1])
        start = memory[SETTLED // EVERY - 1]
        print(
            f"{what}: {start} MiB after {SETTLED}, {memory[-1]} after {EVERY * len(memory)}", end=""
        )
        print(f", {max(memory) / start - 1:+.1%} at most", flush=True)
        results.write_text(json.dumps(known))


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        one(sys.argv[2], int(sys.argv[3]))
    else:
        numbers = [int(word) for word in sys.argv[2:] if word.isdigit()]
        main(Path(sys.argv[1]), *(numbers or [None]), *(w for w in sys.argv[2:] if not w.isdigit()))
