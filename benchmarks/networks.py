"""Results of both full-size networks on one batch, for comparing two devices.

    python benchmarks/networks.py cpu|cuda first|second RESULTS.npz [--quick]

Weights are drawn by numpy, so they are the same on all devices. Images are 800 x 1088 pixels. With
`--quick` height and width are a seventh of that, and there are 32 regions instead of 512.
RESULTS.npz receives a sample of each map, loss and gradient.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from inputs import LABELS, VOCABULARIES, embeddings, noise, weights
from whole_files import save_arrays

from unidet.backend.runtime import bring_up
from unidet.cli import compose
from unidet.records import Batch

SAMPLE = 20_000  # most values saved of an array


def example(images: int, quick: bool = False) -> Batch:
    """The images, objects and proposals of `noise` as a batch."""
    pixels, objects, proposals = noise(images, quick)
    height, width = pixels.shape[2:]
    return Batch(
        images_NCHW=pixels,
        sizes_N2=np.tile(np.array([height, width], np.int32), (images, 1)),
        scales_N4=np.ones((images, 4), np.float32),
        flips_N2=np.zeros((images, 2), bool),
        boxes=[objects] * images,
        labels=[LABELS] * images,
        dataset_ids=np.zeros(images, np.int32),
        image_rows=np.arange(images, dtype=np.int32),
        proposals=[proposals] * images,
    )


def fill(network: Any) -> None:
    """Set the weights of `inputs.weights`; a network's own depend on the device."""
    variables = dict(network.named_parameters())
    for name, array in weights({name: var.shape for name, var in variables.items()}):
        variables[name].update(array)


def first_stage(*overrides: str) -> tuple[Any, Any]:
    from unidet.pipelines.proposers.proposer import build_proposer

    config = compose(["experiment=coco_o365", *overrides]).rpn
    network = build_proposer(config, 0)
    fill(network)
    network.backbone.set_batch_norm_training(False)  # as in the official code and in twin.py
    return network, config.training.optimizer


def second_stage(quick: bool = False) -> tuple[Any, Any]:
    from unidet.pipelines.wiring.classifier import build_classifier

    fewer = ["roi.network.roi_samples=32"] if quick else []
    config = compose(["experiment=coco_o365", *fewer]).roi
    network = build_classifier(config.network)
    fill(network)
    network.set_vocabularies(embeddings(VOCABULARIES))
    return network, config.training.optimizer


class Record:
    """Computed arrays, saved after each step."""

    def __init__(self, target: str) -> None:
        self.target = Path(target)
        self.arrays: dict[str, np.ndarray] = {}
        self.started = time.time()

    def keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add evenly spaced samples of at most SAMPLE values of each array."""
        for name, array in arrays.items():
            flat = np.asarray(array).reshape(-1)
            self.arrays[name] = flat[:: max(1, len(flat) // SAMPLE)]
        save_arrays(self.target, self.arrays)
        print(f"{', '.join(arrays)} after {time.time() - self.started:.0f} s", flush=True)


def first(record: Record, quick: bool) -> None:
    """Maps, proposals, losses and gradients of UniDetector's first stage."""
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
    # Two devices may order nearly equal scores differently. So each column is sorted before it is
    # compared, and training regions are sampled from given proposals.
    proposals = network.propose(images, batch.sizes_N2)[0]
    record.keep({"proposals, columns sorted": np.sort(proposals, axis=0)})
    network.rpn_head.proposals = lambda output, sizes_N2: batch.proposals
    learn(record, network, batch)


def second(record: Record, quick: bool) -> None:
    """Regions, losses and gradients of UniDetector's second stage on 300 proposals, or 30."""
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

    losses = loss_values(network.loss(batch, BatchRandom(0, 0)))
    learned = trainable(network)
    gradients = jt.grad(total(losses), list(learned.values()))
    jt.sync([*losses.values(), *gradients])
    arrays = {name: value.numpy() for name, value in losses.items()}
    for name, gradient in zip(learned, gradients, strict=True):
        if name.endswith("weight") and len(gradient.shape) > 1:
            arrays[f"gradient of {name}"] = gradient.numpy()
    record.keep(arrays)


if __name__ == "__main__":
    print(bring_up(sys.argv[1]), flush=True)
    from unidet.ops.blocked_maps import as_array
    from unidet.ops.loss_term import loss_values, total
    from unidet.ops.sampling import BatchRandom
    from unidet.training.optimizer import trainable

    {"first": first, "second": second}[sys.argv[2]](Record(sys.argv[3]), "--quick" in sys.argv)
