"""A step of each network of the toy study, and of other proposers', on a batch of noise."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jittor as jt
import numpy as np
from batches import make_batch

from unidet.config.compose import compose
from unidet.config.training import OptimizerConfig
from unidet.models.clip.contrastive import ContrastiveLoss
from unidet.models.layers import set_batch_norm_training
from unidet.pipelines.proposers.proposer import build_proposer
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.pipelines.wiring.crop_encoder import build_crop_encoder
from unidet.pipelines.wiring.text_encoder import build_text_encoder
from unidet.training.inference import as_images
from unidet.training.optimizer import Optimizer
from unidet.training.pair import ImageTextPair
from unidet.training.step import LossOf, Prepare, Stepper, as_it_is

Step = Callable[[], Any]
HEIGHT, WIDTH = 96, 128
BOXES = np.array([[8, 8, 48, 56], [60, 20, 100, 80], [10, 60, 40, 90]], np.float32)
NAMES, MERGES = 6, 40
PROPOSERS = ("nanodet_plus", "rtdetr", "detr")


def steps() -> dict[str, Step]:
    """By name: a training step of each network, and inference by all but CLIP."""
    others = [proposer_steps(kind) for kind in PROPOSERS]
    return study_steps() | {name: step for kind in others for name, step in kind.items()}


def study_steps() -> dict[str, Step]:
    """Those of the study's networks."""
    config = compose(["experiment=toy"])
    proposer = build_proposer(config.rpn, 0)
    classifier = build_classifier(config.roi.network)
    texts = np.random.default_rng(2).standard_normal((NAMES, config.clip.embedding))
    classifier.set_vocabularies([texts.astype(np.float32)])
    pair = ImageTextPair(
        build_crop_encoder(config.clip),
        build_text_encoder(config.clip.text, MERGES, config.clip.embedding),
        ContrastiveLoss(),
        mean=config.clip.mean,
        std=config.clip.std,
    )
    set_batch_norm_training(pair, True)
    batch = scenes()
    images = as_images(batch)
    return {
        "clip": training(pair, pair.loss, crops(config.clip), config.clip.training.optimizer),
        "rpn": training(proposer, proposer.loss, batch, config.rpn.training.optimizer),
        "roi": training(
            classifier,
            classifier.loss,
            batch,
            config.roi.training.optimizer,
            classifier.sample,
        ),
        "proposals": inference(lambda: proposer.propose(images, batch.sizes_N2)),
        "lvis_raw": inference(
            lambda: classifier.regions(images, batch.sizes_N2, batch.proposals or [])
        ),
    }


def proposer_steps(kind: str) -> dict[str, Step]:
    """A training step and inference of the toy world's network of this kind."""
    config = compose([f"rpn=toy_{kind}"]).rpn
    network = build_proposer(config, 0)
    batch = scenes(labels=1)
    images = as_images(batch)
    return {
        kind: training(network, network.loss, batch, config.training.optimizer),
        f"{kind} proposals": inference(lambda: network.propose(images, batch.sizes_N2)),
    }


def training(
    network: Any,
    loss_of: LossOf,
    batch: Any,
    optimizer: OptimizerConfig,
    prepare: Prepare = as_it_is,
) -> Step:
    """Forward, backward and update, as `training.loop` makes them, without what it logs."""
    update = Stepper(network, loss_of, prepare, Optimizer(network, optimizer), 1)

    def step() -> None:
        update(batch, (0, 0), 1.0)
        jt.sync_all()

    return step


def inference(work: Step) -> Step:
    def step() -> None:
        with jt.no_grad():
            work()

    return step


def scenes(labels: int = 6) -> Any:
    """Two images with three boxes each, their labels below `labels`."""
    rng = np.random.default_rng(0)
    near = np.repeat(BOXES, 10, axis=0) + rng.normal(0, 3, (30, 4))
    proposals = np.insert(np.clip(near, 0, HEIGHT), 4, 0.5, axis=1)
    images = rng.standard_normal((2, 3, HEIGHT, WIDTH))
    names = np.arange(6).reshape(2, 3) % labels
    return make_batch(images, [BOXES, BOXES], list(names), proposals=[proposals] * 2)


def crops(config: Any) -> Any:
    """Eight crops, each caption fitting its own alone."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, MERGES, (8, config.text.context_length)).astype(np.int32)
    tokens[:, -1] = 512 + MERGES + 1  # the end's mark
    return SimpleNamespace(
        pixels=rng.integers(0, 256, (8, 48, 48, 3), np.uint8),
        tokens=tokens,
        compatible_NN=np.eye(8, dtype=bool),
        side=32,
    )
