"""A step of each network of the toy world on a batch of noise: the study's, other proposers',
proposals and names in one network, fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import jittor as jt
import numpy as np
from batches import make_batch

from unidet.config.compose import compose
from unidet.config.training import OptimizerConfig, Precision
from unidet.models.clip.contrastive import ContrastiveLoss
from unidet.models.fine_tuner import FineTuner, Weights
from unidet.models.layers import set_batch_norm_training
from unidet.models.stored_images import StoredImages
from unidet.pipelines.proposers.proposer import build_proposer
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.pipelines.wiring.crop_encoder import build_crop_encoder
from unidet.pipelines.wiring.end_to_end import build_end_to_end
from unidet.pipelines.wiring.text_encoder import build_text_encoder
from unidet.training.inference import as_images
from unidet.training.loss_scale import LossScale
from unidet.training.optimizer import Optimizer
from unidet.training.pair import ImageTextPair
from unidet.training.precision import computing_in
from unidet.training.step import LossOf, Prepare, Stepper, as_it_is

Step = Callable[[], Any]
HEIGHT, WIDTH = 96, 128
BOXES = np.array([[8, 8, 48, 56], [60, 20, 100, 80], [10, 60, 40, 90]], np.float32)
NAMES, MERGES = 6, 40
PROPOSERS = {
    "plain_rpn": "toy_rpn",
    "nanodet_plus": "toy_nanodet_plus",
    "rtdetr": "toy_rtdetr",
    "detr": "toy_detr",
}
"""Pages of conf/rpn/ by the names of their steps."""


def families() -> Iterator[dict[str, Step]]:
    """By name: a training step of each network, and inference by those that have one of their own.

    Networks that share weights come together; none is built before the last ones are done with.
    """
    yield study_steps("float32")
    yield study_steps("bfloat16")
    yield study_steps("float16")
    yield end_to_end_steps()
    yield {"finetune": fine_tuning_step()}
    for name, page in PROPOSERS.items():
        yield proposer_steps(name, page)


def study_steps(precision: Precision) -> dict[str, Step]:
    """Those of the study's networks; inference is in float32, whatever they are trained in."""
    config = compose(["experiment=toy"])
    proposer = build_proposer(config.rpn, 0)
    classifier = build_classifier(config.roi.network)
    classifier.set_vocabularies(texts(1, config.clip.embedding))
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
    mark = "" if precision == "float32" else f", {precision}"
    of_clip, of_roi = config.clip.training.optimizer, config.roi.training.optimizer
    found = {
        f"clip{mark}": training(pair, pair.loss, crops(config.clip), of_clip, precision=precision),
        f"rpn{mark}": training(
            proposer, proposer.loss, batch, config.rpn.training.optimizer, precision=precision
        ),
        f"roi{mark}": training(
            classifier, classifier.loss, batch, of_roi, classifier.sample, precision
        ),
    }
    if mark:
        return found
    return found | {
        "proposals": inference(lambda: proposer.propose(images, batch.sizes_N2)),
        "lvis_raw": inference(
            lambda: classifier.regions(images, batch.sizes_N2, batch.proposals or [])
        ),
    }


def end_to_end_steps() -> dict[str, Step]:
    """Of proposals and names in one network."""
    config = compose(["end2end=toy"]).end2end
    network = build_end_to_end(config)
    network.regions.set_vocabularies(texts(1, config.network.embedding))
    batch = scenes()
    images = as_images(batch)
    optimizer = config.training.optimizer
    return {
        "end2end": training(network, network.loss, batch, optimizer, network.prepare),
        "end2end regions": inference(lambda: network.detect_regions(images, batch.sizes_N2)),
    }


def fine_tuning_step() -> Step:
    """With every loss: of new names, of old ones on stored images, distillation, pull."""
    config = compose(["finetune=toy", "finetune.sets=[a]"])
    settings = config.finetune
    new, old = texts(2, config.clip.embedding)
    networks = [build_classifier(config.roi.network) for _ in range(2)]
    for network in networks:
        network.set_vocabularies([new, old])
    batch = scenes()
    stride = networks[0].stride
    shape = networks[0].backbone.channels[-1], HEIGHT // stride, WIDTH // stride
    stored = StoredImages(
        [np.ones(shape, np.float16)],
        batch.boxes[:1],
        batch.labels[:1],
        batch.proposals[:1],
        np.array([1], np.int32),
    )
    weights = Weights(rehearsal=1, negatives=1, distillation=1, pull=1)
    tuner = FineTuner(*networks, stored, weights, [new], trains_head=True)
    return training(tuner, tuner.loss, batch, settings.training.optimizer, tuner.sample)


def texts(vocabularies: int, embedding: int) -> list[np.ndarray]:
    """Embeddings of NAMES names in each vocabulary."""
    rng = np.random.default_rng(2)
    return [rng.standard_normal((NAMES, embedding)).astype(np.float32) for _ in range(vocabularies)]


def proposer_steps(name: str, page: str) -> dict[str, Step]:
    """A training step and inference of the network of a page of conf/rpn/."""
    config = compose([f"rpn={page}"]).rpn
    network = build_proposer(config, 0)
    batch = scenes(labels=1)
    images = as_images(batch)
    return {
        name: training(network, network.loss, batch, config.training.optimizer),
        f"{name} proposals": inference(lambda: network.propose(images, batch.sizes_N2)),
    }


def training(
    network: Any,
    loss_of: LossOf,
    batch: Any,
    optimizer: OptimizerConfig,
    prepare: Prepare = as_it_is,
    precision: Precision = "float32",
) -> Step:
    """Forward, backward and update, as `training.loop` makes them, without what it logs."""
    loss_scale = LossScale() if precision == "float16" else None
    update = Stepper(network, loss_of, prepare, Optimizer(network, optimizer, loss_scale), 1)

    def step() -> None:
        with computing_in(precision):
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
