"""What rows of networks time; imported once Jittor is brought up.

Networks, images (3 x 800 x 1088) and proposals are those of benchmarks/networks.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jittor as jt
import numpy as np
from networks import example, fill, first_stage, second_stage

from unidet.cli import compose
from unidet.models.rtdetr.network import RTDETR
from unidet.training.optimizer import Optimizer
from unidet.training.step import Stepper, as_it_is


def trunk() -> Callable[[], Any]:
    """Backbone and FPN, 3 x 800 x 1088."""
    network, _ = first_stage()
    network.backbone.set_batch_norm_training(False)
    images = jt.array(example(1).images_NCHW)

    def forward() -> None:
        with jt.no_grad():
            jt.sync(network.pyramid(images))

    return forward


def propose(quick: bool = False) -> Callable[[], Any]:
    """Stage 1, one image."""
    network, _ = first_stage()
    batch = example(1, quick)
    images = jt.array(batch.images_NCHW)
    return lambda: network.propose(images, batch.sizes_N2)


def _step(network: Any, settings: Any, images: int, quick: bool = False) -> Callable[[], Any]:
    prepare = as_it_is
    if hasattr(network, "sample"):
        prepare = network.sample
    step = Stepper(network, network.loss, prepare, Optimizer(network, settings), parts=1)
    batch = example(images, quick)
    return lambda: jt.sync(list(step(batch, (0, 0), 0.0).values()))


def propose_step(images: int = 1, quick: bool = False) -> Callable[[], Any]:
    """Training step of stage 1."""
    return _step(*first_stage(), images, quick)


def classify(count: int, quick: bool = False) -> Callable[[], Any]:
    """Stage 2, one image of `count` proposals, 1,230 names."""
    network, _ = second_stage(quick)
    network.set_vocabularies([np.random.default_rng(2).standard_normal((1230, 1024))])
    batch = example(1, quick)
    images, rows = jt.array(batch.images_NCHW), [batch.proposals[0][:count]]

    def name() -> None:
        ((_, embeddings),) = network.regions(images, batch.sizes_N2, rows)
        with jt.no_grad():
            network.classifier(jt.array(embeddings), 0).sync()

    return name


def classify_step(images: int = 1, quick: bool = False) -> Callable[[], Any]:
    """Training step of stage 2, 512 regions of an image."""
    return _step(*second_stage(quick), images, quick)


def rtdetr() -> Callable[[], Any]:
    """RT-DETR-R18vd of 80 classes, one image of 640 x 640."""
    network = RTDETR(compose(["rpn=rtdetr_r18vd"]).rpn.network, classes=80)
    fill(network)
    pixels = np.random.default_rng(0).standard_normal((1, 3, 640, 640), np.float32)
    images, sizes = jt.array(pixels), np.full((1, 2), 640, np.int32)
    return lambda: network.propose(images, sizes)


WORKS = {
    "trunk": trunk,
    "stage1": propose,
    "stage1-step": propose_step,
    "stage1-step-2": partial(propose_step, 2),
    "stage2-100": partial(classify, 100),
    "stage2-300": partial(classify, 300),
    "stage2-step": classify_step,
    "rtdetr": rtdetr,
}
