"""Settings that tests build networks from: the official ones, and what a test changes in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from unidet.config.networks import (
    ClassifierConfig,
    CLNConfig,
    DETRConfig,
    EfficientNetConfig,
    NanoDetPlusConfig,
    ResNetConfig,
    RPNConfig,
    RPNHeadConfig,
    RTDETRConfig,
)
from unidet.pipelines.traces.published_settings import (
    classifier_settings,
    end_to_end_settings,
    proposer_settings,
)

Network = TypeVar("Network")


def resnet(**changes: Any) -> ResNetConfig:
    """ResNet-50 in torchvision's style, nothing frozen."""
    settings = ResNetConfig(
        kind="resnet",
        style="torchvision",
        block="bottleneck",
        width=64,
        blocks=(3, 4, 6, 3),
        frozen_stages=0,
    )
    return replace(settings, **changes)


def small_resnet(**changes: Any) -> ResNetConfig:
    """In CLIP's style, of one basic block a layer; layers 2 and 3 have strides 4 and 8."""
    small: dict[str, Any] = {"blocks": (1, 1, 1, 1), "strides": (1, 1, 2, 2), "width": 8}
    return resnet(**({"style": "clip", "block": "basic"} | small | changes))


def efficientnet(frozen_stages: int = 0) -> EfficientNetConfig:
    return EfficientNetConfig(kind="efficientnet_lite0", frozen_stages=frozen_stages)


def cln(**changes: Any) -> CLNConfig:
    """Without the official code's quirks."""
    settings = proposer_settings("cln_r50_fpn", CLNConfig)
    return replace(settings, **({"compat": "default"} | changes))


def rpn(**changes: Any) -> RPNConfig:
    return replace(proposer_settings("rpn_r50_fpn", RPNConfig), **changes)


def nanodet_plus(model: str = "m_416", **changes: Any) -> NanoDetPlusConfig:
    """Never detached."""
    settings = proposer_settings(f"nanodet_plus_{model}", NanoDetPlusConfig)
    return replace(settings, **({"detach_epoch": None} | changes))


def small_nanodet_plus(**changes: Any) -> NanoDetPlusConfig:
    return nanodet_plus(**({"backbone_channels": (8, 16, 32, 64), "channels": 32} | changes))


def rtdetr(variant: str = "r18vd", **changes: Any) -> RTDETRConfig:
    """Without resizing."""
    settings = proposer_settings(f"rtdetr_{variant}", RTDETRConfig)
    return replace(settings, **({"train_sides": ()} | changes))


def detr(**changes: Any) -> DETRConfig:
    settings = proposer_settings("detr_r50", DETRConfig)
    return replace(settings, **changes)


def classifier(**changes: Any) -> ClassifierConfig:
    return replace(classifier_settings("clip_r50_c4"), **changes)


def small_classifier(**changes: Any) -> ClassifierConfig:
    """With a mean pool, embeddings of 6, and few regions and names to learn from."""
    small: dict[str, Any] = {
        "backbone": small_resnet(),
        "pool": "mean",
        "pool_size": 4,
        "embedding": 6,
        "scale": 8.0,
        "bias": -1.0,
        "learn_scale": True,
        "federated_classes": 3,
        "roi_samples": 6,
        "positive_fraction": 0.5,
    }
    return classifier(**(small | changes))


def small_rpn_head(**changes: Any) -> RPNHeadConfig:
    """On the map of `small_classifier`, of stride 8, with few anchors and boxes."""
    small: dict[str, Any] = {
        "channels": 32,
        "anchor_scales": (2.0, 4.0),
        "anchor_ratios": (0.5, 1.0),
        "rpn_samples": 32,
        "proposals_per_level": 200,
        "max_rois": 60,
        "test_proposals_per_level": 100,
        "test_max_rois": 20,
    }
    return replace(end_to_end_settings("clip_r50_c4").rpn_head, **(small | changes))


def randomized(network: Network) -> Network:
    """With random values everywhere, the statistics of norms included, as training leaves them."""
    import jittor as jt

    rng = np.random.default_rng(0)
    for name, parameter in network.named_parameters():  # type: ignore[attr-defined]
        shape = tuple(parameter.shape)
        if len(shape) < 2 and name.endswith(("weight", "running_var")):
            values = rng.uniform(0.5, 1.5, shape)
        else:
            fan_in = max(int(np.prod(shape[1:])), 1)
            values = rng.normal(0, 0.1 if len(shape) < 2 else fan_in**-0.5, shape)
        parameter.update(jt.array(values.astype(np.float32)))
    return network
