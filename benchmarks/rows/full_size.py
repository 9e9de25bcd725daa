"""Works of the rows in rows/networks.py. Import this module after `bring_up`.

Networks, images (3 x 800 x 1088) and proposals are those of benchmarks/networks.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jittor as jt
import numpy as np
from inputs import NAMES, embeddings, square
from networks import example, fill, first_stage, second_stage
from same_results import Results, Work, norms

from unidet.cli import compose
from unidet.models.detr.network import DETR
from unidet.models.rtdetr.network import RTDETR
from unidet.ops.blocked_maps import as_array
from unidet.training.optimizer import Optimizer
from unidet.training.step import Stepper, as_it_is

RPN_NMS = ("rpn.network.proposal_nms=0.7", "rpn.network.max_rois=1000")


def trunk() -> Work:
    """Backbone and FPN, 3 x 800 x 1088."""
    network, _ = first_stage()
    network.backbone.set_batch_norm_training(False)
    images = jt.array(example(1).images_NCHW)
    levels: list[jt.Var] = []

    def forward() -> Results:
        with jt.no_grad():
            levels[:] = network.pyramid(images)
            jt.sync(levels)
        return {}

    return Work(
        forward, lambda: {f"p{row + 2}": as_array(level) for row, level in enumerate(levels)}
    )


def propose(quick: bool = False, overrides: tuple[str, ...] = ()) -> Work:
    """Stage 1, one image."""
    network, _ = first_stage(*overrides)
    batch = example(1, quick)
    images = jt.array(batch.images_NCHW)
    return Work(lambda: {"proposals": network.propose(images, batch.sizes_N2)[0]})


def _step(network: Any, settings: Any, images: int, quick: bool = False) -> Work:
    prepare = getattr(network, "sample", as_it_is)
    optimizer = Optimizer(network, settings)
    loss_of = getattr(network, "loss_in_pieces", network.loss)
    step = Stepper(network, loss_of, prepare, optimizer, parts=1)
    batch = example(images, quick)

    def run() -> Results:
        values = step(batch, (0, 0), 0.0)
        jt.sync_all(True)
        return {name: var.numpy() for name, var in values.items() if name.startswith("loss_")}

    def momenta() -> Results:
        prefix = "values/"
        state = optimizer.state().items()
        return {name[len(prefix) :]: array for name, array in state if name.startswith(prefix)}

    return Work(run, lambda: norms(momenta()))


def propose_step(images: int = 1, quick: bool = False) -> Work:
    """Training step of stage 1."""
    return _step(*first_stage(), images, quick)


def classify(count: int, quick: bool = False) -> Work:
    """Stage 2, one image with `count` proposals, `NAMES` names."""
    network, _ = second_stage(quick)
    network.set_vocabularies(embeddings([NAMES]))
    batch = example(1, quick)
    images, rows = jt.array(batch.images_NCHW), [batch.proposals[0][:count]]

    def name() -> Results:
        ((boxes, unit),) = network.regions(images, batch.sizes_N2, rows)
        with jt.no_grad():
            return {"boxes": boxes, "logits": network.classifier(jt.array(unit), 0).numpy()}

    return Work(name)


def classify_step(images: int = 1, quick: bool = False) -> Work:
    """Training step of stage 2, 512 regions per image."""
    return _step(*second_stage(quick), images, quick)


def rtdetr() -> Work:
    """RT-DETR-R18vd with 80 classes, one image of 640 x 640."""
    network = RTDETR(compose(["rpn=rtdetr_r18vd"]).rpn.network, classes=80)
    fill(network)
    images, sizes = jt.array(square(640)), np.full((1, 2), 640, np.int32)
    return Work(lambda: {"proposals": network.propose(images, sizes)[0]})


def detr() -> Work:
    """DETR with a ResNet-50 and 91 classes, one image."""
    network = DETR(compose(["rpn=detr_r50"]).rpn.network, classes=91)
    fill(network)
    batch = example(1)
    images = jt.array(batch.images_NCHW)
    return Work(lambda: {"proposals": network.propose(images, batch.sizes_N2)[0]})


WORKS = {
    "trunk": trunk,
    "stage1": propose,
    "stage1-1000": partial(propose, overrides=RPN_NMS),
    "stage1-step": propose_step,
    "stage1-step-2": partial(propose_step, 2),
    "stage2-100": partial(classify, 100),
    "stage2-300": partial(classify, 300),
    "stage2-step": classify_step,
    "rtdetr": rtdetr,
    "detr": detr,
}
