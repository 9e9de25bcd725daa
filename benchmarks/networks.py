"""Both full-size networks on one batch: what they compute, and how fast.

    python benchmarks/networks.py cpu|cuda first|second RESULTS

Weights are drawn by numpy, for every device the same. Images are 800 x 1088 pixels. RESULTS.npz
gets a sample of every map, loss and gradient; RESULTS.json, on a GPU, seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unidet.backend.runtime import bring_up
from unidet.cli import compose
from unidet.records import Batch

HEIGHT, WIDTH = 800, 1088
OBJECTS = np.array([[40, 60, 400, 500], [500, 300, 900, 700], [100, 600, 180, 760]], np.float32)
LABELS = np.array([3, 17, 30], np.int32)
WARM_UP, TIMED = 3, 10
SAMPLE = 20_000  # values kept of an array


def example(images: int) -> Batch:
    """`images` noise images with three objects and 2,300 proposals each."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, [WIDTH - 64, HEIGHT - 64], (2000, 2))
    sides = rng.uniform(16, 64, (2000, 2))
    near = np.repeat(OBJECTS, 100, axis=0) + rng.normal(0, 12, (300, 4))
    boxes = np.concatenate([near, np.concatenate([corners, corners + sides], axis=1)])
    boxes = np.clip(boxes, 0, [WIDTH, HEIGHT] * 2)
    scores = rng.uniform(0, 1, (len(boxes), 1))
    return Batch(
        images_NCHW=rng.standard_normal((images, 3, HEIGHT, WIDTH), np.float32),
        sizes_N2=np.tile(np.array([HEIGHT, WIDTH], np.int32), (images, 1)),
        scales_N4=np.ones((images, 4), np.float32),
        flips_N2=np.zeros((images, 2), bool),
        boxes=[OBJECTS] * images,
        labels=[LABELS] * images,
        dataset_ids=np.zeros(images, np.int32),
        image_rows=np.arange(images, dtype=np.int32),
        proposals=[np.concatenate([boxes, scores], axis=1).astype(np.float32)] * images,
    )


def fill(network: Any) -> None:
    """Every weight and bias from one seed, as each device draws its own.

    Weights are He's normal ones, the last convolution of a residual block a fifth of that.
    """
    rng = np.random.default_rng(1)
    for name, var in sorted(network.named_parameters()):
        if len(var.shape) > 1:
            spread = np.sqrt(2 / np.prod(var.shape[1:]))
            spread *= 0.2 if name.endswith("conv3.weight") else 1.0
        elif name.endswith("bias"):
            spread = 0.01
        else:
            continue
        var.update((rng.standard_normal(var.shape) * spread).astype(np.float32))


def first_stage() -> tuple[Any, Any]:
    from unidet.pipelines.proposers.proposer import build_proposer

    config = compose(["experiment=coco_o365"]).rpn
    network = build_proposer(config, 0)
    fill(network)
    return network, config.training.optimizer


def second_stage() -> tuple[Any, Any]:
    from unidet.pipelines.wiring.classifier import build_classifier

    config = compose(["experiment=coco_o365"]).roi
    network = build_classifier(config.network)
    fill(network)
    rng = np.random.default_rng(2)
    network.set_vocabularies([rng.standard_normal((count, 1024)) for count in (80, 365)])
    return network, config.training.optimizer


def seconds(work: Callable[[], Any]) -> float:
    """Median of several turns, each with the device waited for."""
    import jittor as jt

    times = []
    for _ in range(WARM_UP + TIMED):
        started = time.perf_counter()
        work()
        jt.sync_all(True)
        times.append(time.perf_counter() - started)
    return float(np.median(times[WARM_UP:]))


class Record:
    """What was computed and how long it took, saved after every part."""

    def __init__(self, device: str, target: str) -> None:
        self.timed = device == "cuda"
        self.target = target
        self.arrays: dict[str, np.ndarray] = {}
        self.times: dict[str, float] = {}
        self.started = time.time()

    def keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        """At most SAMPLE values of each, evenly spread."""
        for name, array in arrays.items():
            flat = np.asarray(array).reshape(-1)
            self.arrays[name] = flat[:: max(1, len(flat) // SAMPLE)]
        np.savez(f"{self.target}.npz", **self.arrays)
        print(f"{', '.join(arrays)} after {time.time() - self.started:.0f} s", flush=True)

    def time(self, name: str, work: Callable[[], Any]) -> None:
        """On a GPU alone."""
        if not self.timed:
            return
        took = seconds(work)
        self.times[name] = took
        Path(f"{self.target}.json").write_text(json.dumps(self.times, indent=1))
        print(f"{name}: {took:.4f} s after {time.time() - self.started:.0f} s", flush=True)


def first(record: Record) -> None:
    """UniDetector's first stage; its trunk alone is what benchmarks/twin.py times in PyTorch."""
    import jittor as jt

    network, settings = first_stage()
    batch, pair = example(1), example(2)
    images = jt.array(batch.images_NCHW)
    with jt.no_grad():
        maps = network.pyramid(images)
        output = network.rpn_head(maps)
        jt.sync([*maps, output.logits_NA])
    levels = {f"p{2 + row}": as_array(level) for row, level in enumerate(maps)}
    record.keep(levels | {"objectness": output.logits_NA.numpy()})

    def trunk() -> Any:
        output = network.rpn_head(network.pyramid(jt.array(pair.images_NCHW)))
        return (output.logits_NA**2).mean() + (output.offsets_NA4**2).mean()

    def forward() -> None:
        with jt.no_grad():
            trunk().sync()

    optimizer = Optimizer(network, settings)

    def update() -> None:
        optimizer.add(trunk())
        optimizer.step(0.0)

    record.time("ResNet-50, FPN, proposal head: forward, 2 images", forward)
    record.time("ResNet-50, FPN, proposal head: training step, 2 images", update)
    record.keep({"proposals": network.propose(images, batch.sizes_N2)[0]})
    record.time("stage 1: inference, 1 image", lambda: network.propose(images, batch.sizes_N2))
    learn(record, network, batch)
    step = Stepper(network, network.loss, optimizer, parts=1)
    record.time("stage 1: training step, 2 images", lambda: step(pair, (0, 0), 0.0))


def second(record: Record) -> None:
    """UniDetector's second stage on 300 given proposals."""
    import jittor as jt

    network, settings = second_stage()
    batch, pair = example(1), example(2)
    images, rows = jt.array(batch.images_NCHW), [batch.proposals[0][:300]]
    ((boxes, embeddings),) = network.regions(images, batch.sizes_N2, rows)
    record.keep({"boxes": boxes, "embeddings": embeddings})
    record.time(
        "stage 2: inference, 1 image, 300 proposals",
        lambda: network.regions(images, batch.sizes_N2, rows),
    )
    learn(record, network, batch)
    step = Stepper(network, network.loss, Optimizer(network, settings), parts=1)
    record.time("stage 2: training step, 2 images", lambda: step(pair, (0, 0), 0.0))


def learn(record: Record, network: Any, batch: Batch) -> None:
    """Losses and gradients of one image."""
    import jittor as jt

    losses = network.loss(batch, BatchRandom(0, 0))
    total = sum(value for name, value in losses.items() if name.startswith("loss"))
    learned = {name: var for name, var in network.named_parameters() if not var.is_stop_grad()}
    gradients = jt.grad(total, list(learned.values()))
    jt.sync([*losses.values(), *gradients])
    found = {name: value.numpy() for name, value in losses.items()}
    for name, gradient in zip(learned, gradients, strict=True):
        if name.endswith("weight") and len(gradient.shape) > 1:
            found[f"gradient of {name}"] = gradient.numpy()
    record.keep(found)


if __name__ == "__main__":
    print(bring_up(sys.argv[1]), flush=True)
    from unidet.ops.blocked_maps import as_array
    from unidet.ops.sampling import BatchRandom
    from unidet.training.optimizer import Optimizer
    from unidet.training.step import Stepper

    {"first": first, "second": second}[sys.argv[2]](Record(sys.argv[1], sys.argv[3]))
