"""Small networks of ours with a batch of four images: what tests divide into parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jittor as jt
import networks
import numpy as np
from batches import make_batch

from unidet.models.end2end import EndToEnd
from unidet.models.localization_network import LocalizationNetwork
from unidet.models.roi_classifier import RoiClassifier
from unidet.models.rpn_head import RPNHead
from unidet.pipelines.proposers.cln import build
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.records import Batch
from unidet.training.step import Prepare, as_it_is

SIDE, LOW = 64, 48


def cln(batch_norm_training: bool = False) -> LocalizationNetwork:
    """With the official samplers, which draw at random, and more candidates than they keep."""
    jt.set_global_seed(1)
    settings = networks.cln(
        backbone=networks.small_resnet(),
        outputs=(2, 3),
        channels=16,
        levels=2,
        region_levels=2,
        anchor_scale=4.0,
        hidden=32,
        pool_size=3,
        finest_scale=16.0,
        rpn_samples=24,
        proposal_nms=0.8,
        max_rois=50,
        roi_samples=16,
        positive_fraction=0.5,
        batch_norm_training=batch_norm_training,
    )
    return build(settings, classes=0, is_trained=True)


def classifier(datasets: int) -> RoiClassifier:
    jt.set_global_seed(1)
    settings = networks.small_classifier(federated_classes=4)
    network = build_classifier(settings)
    texts = np.random.default_rng(2).standard_normal((2, 9, 6)).astype(np.float32)
    network.set_vocabularies(list(texts[:datasets]))
    return network


def end_to_end() -> EndToEnd:
    regions, settings = classifier(datasets=1), networks.small_rpn_head(rpn_samples=24)
    return EndToEnd(regions, RPNHead(settings, (regions.stride,)), settings)


def batch(datasets: int = 1) -> Batch:
    """Four images, two of them lower, with 3, 1, 0, 2 boxes and 7, 2, 3, 5 proposals."""
    rng = np.random.default_rng(3)
    images = rng.standard_normal((4, 3, SIDE, SIDE)).astype(np.float32)
    images[:2, :, LOW:] = 0
    return make_batch(
        images,
        [_boxes(rng, count) for count in (3, 1, 0, 2)],
        [[1, 7, 1], [0], [], [4, 8]],
        sizes=[(LOW, SIDE), (LOW, SIDE), (SIDE, SIDE), (SIDE, SIDE)],
        datasets=np.arange(4) % datasets,
        proposals=[np.insert(_boxes(rng, count), 4, 0.5, axis=1) for count in (7, 2, 3, 5)],
    )


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.uniform(0, SIDE / 2, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(8, 30, (count, 2))], 1).astype(np.float32)


def preparation(network: Any) -> Prepare:
    """What the network wants done with a batch before it is divided."""
    if isinstance(network, EndToEnd):
        return network.prepare
    return network.sample if isinstance(network, RoiClassifier) else as_it_is


def network_and_batch(name: str) -> tuple[Any, Batch]:
    """By name: what every test here can divide."""
    if name == "cln":
        return cln(), batch()
    if name == "end to end":
        return end_to_end(), replace(batch(), proposals=None)
    datasets = {"classifier": 1, "partitioned classifier": 2}[name]
    return classifier(datasets), batch(datasets)
