"""Both full-size networks on one batch: what they compute, to be compared between two devices.

    python benchmarks/networks.py cpu|cuda first|second RESULTS.npz [--quick]

Weights are drawn by numpy, for every device the same. Images are 800 x 1088 pixels, with `--quick`
a seventh as high and wide, with 32 regions in place of 512. RESULTS.npz gets a sample of every map,
loss and gradient.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from speed import FULL, QUICK
from whole_files import save_arrays

from unidet.backend.runtime import bring_up
from unidet.cli import compose
from unidet.records import Batch

OBJECTS = np.array([[40, 60, 400, 500], [500, 300, 900, 700], [100, 600, 180, 760]], np.float32)
LABELS = np.array([3, 17, 30], np.int32)
SAMPLE = 20_000  # values kept of an array


def example(images: int, quick: bool = False) -> Batch:
    """`images` noise images with three objects and 2,300 proposals each."""
    rng = np.random.default_rng(0)
    height, width = QUICK if quick else FULL
    objects = OBJECTS * (np.float32(height) / FULL[0])
    corners = rng.uniform(0, [width - 64, height - 64], (2000, 2))
    sides = rng.uniform(16, 64, (2000, 2))
    near = np.repeat(objects, 100, axis=0) + rng.normal(0, 12, (300, 4))
    boxes = np.concatenate([near, np.concatenate([corners, corners + sides], axis=1)])
    boxes = np.clip(boxes, 0, [width, height] * 2)
    scores = rng.uniform(0, 1, (len(boxes), 1))
    return Batch(
        images_NCHW=rng.standard_normal((images, 3, height, width), np.float32),
        sizes_N2=np.tile(np.array([height, width], np.int32), (images, 1)),
        scales_N4=np.ones((images, 4), np.float32),
        flips_N2=np.zeros((images, 2), bool),
        boxes=[objects] * images,
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


def second_stage(quick: bool = False) -> tuple[Any, Any]:
    from unidet.pipelines.wiring.classifier import build_classifier

    fewer = ["roi.network.roi_samples=32"] if quick else []
    config = compose(["experiment=coco_o365", *fewer]).roi
    network = build_classifier(config.network)
    fill(network)
    rng = np.random.default_rng(2)
    network.set_vocabularies([rng.standard_normal((count, 1024)) for count in (80, 365)])
    return network, config.training.optimizer


class Record:
    """What was computed, saved after every part."""

    def __init__(self, target: str) -> None:
        self.target = Path(target)
        self.arrays: dict[str, np.ndarray] = {}
        self.started = time.time()

    def keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        """At most SAMPLE values of each, evenly spread."""
        for name, array in arrays.items():
            flat = np.asarray(array).reshape(-1)
            self.arrays[name] = flat[:: max(1, len(flat) // SAMPLE)]
        save_arrays(self.target, self.arrays)
        print(f"{', '.join(arrays)} after {time.time() - self.started:.0f} s", flush=True)


def first(record: Record, quick: bool) -> None:
    """UniDetector's first stage."""
    import jittor as jt

    network, _ = first_stage()
    batch = example(1, quick)
    images = jt.array(batch.images_NCHW)
    with jt.no_grad():
        maps = network.pyramid(images)
        output = network.rpn_head(maps)
        jt.sync([*maps, output.logits_NA])
    levels = {f"p{2 + row}": as_array(level) for row, level in enumerate(maps)}
    record.keep(levels | {"objectness": output.logits_NA.numpy()})
    record.keep({"proposals": network.propose(images, batch.sizes_N2)[0]})
    learn(record, network, batch)


def second(record: Record, quick: bool) -> None:
    """UniDetector's second stage on 300 given proposals, 30 in a hurry."""
    import jittor as jt

    network, _ = second_stage(quick)
    batch = example(1, quick)
    images, rows = jt.array(batch.images_NCHW), [batch.proposals[0][: 30 if quick else 300]]
    ((boxes, embeddings),) = network.regions(images, batch.sizes_N2, rows)
    record.keep({"boxes": boxes, "embeddings": embeddings})
    learn(record, network, network.sample(batch, BatchRandom(0, 0), lambda flags: flags))


def learn(record: Record, network: Any, batch: Any) -> None:
    """Losses and gradients of one image."""
    import jittor as jt

    losses = undivided(network.loss(batch, BatchRandom(0, 0)))
    learned = trainable(network)
    gradients = jt.grad(total(losses), list(learned.values()))
    jt.sync([*losses.values(), *gradients])
    found = {name: value.numpy() for name, value in losses.items()}
    for name, gradient in zip(learned, gradients, strict=True):
        if name.endswith("weight") and len(gradient.shape) > 1:
            found[f"gradient of {name}"] = gradient.numpy()
    record.keep(found)


if __name__ == "__main__":
    print(bring_up(sys.argv[1]), flush=True)
    from unidet.ops.blocked_maps import as_array
    from unidet.ops.loss_term import total, undivided
    from unidet.ops.sampling import BatchRandom
    from unidet.training.optimizer import trainable

    {"first": first, "second": second}[sys.argv[2]](Record(sys.argv[3]), "--quick" in sys.argv)
