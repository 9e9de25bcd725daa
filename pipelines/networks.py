"""Wiring: from a network's configuration to the network, and what it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from unidet.config import Backbone, ClassifierConfig, CLNConfig, EfficientNetConfig, 

Built = TypeVar("Built")


def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """What `build` makes with Jittor's random numbers starting from `seed`."""
    import jittor as jt

    jt.set_global_seed(seed)
    return build()


def build_backbone(config: Backbone, outputs: tuple[int, ...]) -> Any:
    """A backbone that gives the maps of the layers in `outputs`, frozen as configured."""
    from unidet.models.efficientnet import EfficientNetLite0
    from unidet.models.resnet import ResNet

    if isinstance(config, EfficientNetConfig):
        network: Any = EfficientNetLite0(outputs=outputs)
    else:
        network = ResNet(
            style=config.style,
            block=config.block,
            width=config.width,
            blocks=config.blocks,
            strides=config.strides,
            stem_stride=config.stem_stride,
            outputs=outputs,
        )
    network.freeze(config.frozen_stages)
    return network


def build_cln(config: CLNConfig) -> Any:
    """The class-agnostic localisation network."""
    from unidet.models.box_head import BoxHead
    from unidet.models.cln import CLN
    from unidet.models.fpn import FPN
    from unidet.models.rpn_head import RPNHead

    backbone = build_backbone(config.backbone, config.outputs)
    finest = backbone.strides_out[0]
    strides = tuple(finest * 2**level for level in range(config.levels))
    return CLN(
        backbone,
        FPN(backbone.channels, config.channels, config.levels),
        RPNHead(
            config.channels,
            strides=strides,
            anchor_scale=config.anchor_scale,
            classifier=config.compat == "official",
        ),
        BoxHead(
            config.channels,
            hidden=config.hidden,
            pool_size=config.pool_size,
            strides=strides[: config.region_levels],
            finest_scale=config.finest_scale,
        ),
        objectness=config.objectness,
        box_loss=config.box_loss,
        box_loss_weight=config.box_loss_weight,
        box_iou=config.box_iou,
        objectness_iou=config.objectness_iou,
        minimum_iou=config.minimum_iou,
        rpn_samples=config.rpn_samples,
        proposals_per_level=config.proposals_per_level,
        proposal_nms=config.proposal_nms,
        max_rois=config.max_rois,
        roi_iou=config.roi_iou,
        roi_samples=config.roi_samples,
        positive_fraction=config.positive_fraction,
        alpha=config.alpha,
        final_nms=config.final_nms,
        max_proposals=config.max_proposals,
        batch_norm_training=config.batch_norm_training,
        compat=config.compat,
    )
