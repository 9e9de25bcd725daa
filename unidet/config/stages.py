"""Schema of the configuration of each stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unidet.config.compat import Compat
from unidet.config.fields import (
    Check,
    Deviations,
    FilePath,
    Fraction,
    NonNegative,
    Positive,
    Tagged,
    Triple,
    Within,
    free,
)
from unidet.config.images import ImageConfig
from unidet.config.networks import (
    ClassifierConfig,
    ProposerConfig,
    ResNetTrunk,
    RPNHeadConfig,
    TextConfig,
)
from unidet.config.sides import check_sides
from unidet.config.training import SamplerConfig, TrainingConfig


@dataclass(frozen=True)
class TrainedClip:
    """A small CLIP that is trained on captioned crops of the toy world.

    RoIAlign samples a crop's feature map to `pool_size` by `pool_size` cells before the last layer.
    Each training step draws the side of its crops, in pixels, from `crop_sizes`.
    """

    kind: Literal["train"]
    image: ResNetTrunk
    pool_size: Positive
    heads: Positive
    embedding: Positive
    text: TextConfig
    crop_sizes: tuple[Positive, ...]
    mean: Triple
    std: Deviations
    training: TrainingConfig


@dataclass(frozen=True)
class PublishedClip:
    """OpenAI's CLIP (RN50 or RN50x4) from its files; paths are relative to `data.root`.

    `checkpoint` is the published `.pt` file, or a file converted from it by unidet. `merges` are
    the BPE merges, `bpe_simple_vocab_16e6.txt.gz`.
    """

    kind: Literal["openai"]
    checkpoint: FilePath
    merges: FilePath


@dataclass(frozen=True)
class AbsentClip:
    """No CLIP network: text embeddings are read from files."""

    kind: Literal["none"]


Clip = Annotated[TrainedClip | PublishedClip | AbsentClip, Tagged("kind")]


@dataclass(frozen=True)
class TextEmbeddings:
    """Names embedded by the text encoder of stage `clip`, averaged over templates.

    `normalize_each` true normalizes each embedding before averaging, as CLIP does; false averages
    raw features, as the official UniDetector embeddings do. `replacements` apply to every name
    before it is inserted into a template. `truncate` cuts text that is too long for CLIP; otherwise
    it is an error.
    """

    source: Literal["clip"]
    templates: tuple[str, ...]
    normalize_each: bool = True
    replacements: dict[str, str] = field(default_factory=dict)
    truncate: bool = False


@dataclass(frozen=True)
class FileEmbeddings:
    """Precomputed (C, D) `.npy` arrays, rows ordered by category id; relative to `data.root`."""

    source: Literal["files"]
    files: dict[str, FilePath] = free(...)


@dataclass(frozen=True)
class AbsentEmbeddings:
    """No text: a closed-set study, evaluated by `coco_eval`, without a RoI head."""

    source: Literal["none"]


Embeddings = Annotated[TextEmbeddings | FileEmbeddings | AbsentEmbeddings, Tagged("source")]


@dataclass(frozen=True)
class RpnConfig:
    """The proposal network.

    `classes`: "agnostic" learns one class, object, on all training datasets. "dataset" learns the
    categories of the first training dataset, on its images only. "category_ids" is the same with an
    output for every number up to the largest category id, as in official DETR. `weights`: a
    checkpoint to start from, ours or official, relative to `data.root`; if `training` is null, the
    network uses it unchanged.
    """

    network: ProposerConfig
    images: ImageConfig
    training: TrainingConfig | None
    classes: Literal["agnostic", "dataset", "category_ids"] = "agnostic"
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    weights: FilePath = free("")

    def __post_init__(self) -> None:
        check_sides(self.network, self.images)


@dataclass(frozen=True)
class ProposalsConfig:
    """Proposals: at most `keep` per image.

    `files` replace the network's proposals: dataset -> file (mmdet's pickle, or results in JSON),
    for training and evaluation datasets; paths are relative to `data.root`. A training dataset is
    called `training/NAME` if an evaluation dataset is called NAME. `training` false skips training
    datasets, which a RoI head without training does not need.

    `merge`: pages of `conf/rpn/` whose networks are used together, instead of `rpn`. Their boxes
    are merged by NMS at IoU `merge_nms`.
    """

    keep: Positive
    training: bool = True
    files: dict[str, FilePath] = field(default_factory=dict, metadata={"identity": False})
    merge: tuple[str, ...] = field(default=(), metadata={"identity": False})
    merge_nms: Fraction = field(default=0.9, metadata={"identity": False})
    batch_size: Positive = free(8)
    images_per_shard: Positive = free(256)
    processes: Positive = free(1)

    def __post_init__(self) -> None:
        if self.merge and self.files:
            raise ValueError("either files or merge, not both")
        if len(set(self.merge)) < len(self.merge) or len(self.merge) == 1:
            raise ValueError("merge takes two pages of conf/rpn/ or more, each once")


@dataclass(frozen=True)
class ProposerStudyConfig:
    """`timed_images`: number of images on which the network's speed is measured."""

    timed_images: Positive = 20


@dataclass(frozen=True)
class RegionNetworkConfig:
    """A network that classifies regions, and its training.

    `weights`, and `training` null, are as in `RpnConfig`. `text` "random" trains with random
    embeddings of the names, as a control.
    """

    network: ClassifierConfig
    images: ImageConfig
    training: TrainingConfig | None
    text: Literal["clip", "random"] = "clip"
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    weights: FilePath = free("")

    def __post_init__(self) -> None:
        check_sides(self.network, self.images)


def _keeps_proposals(images: ImageConfig) -> ImageConfig:
    if images.before_resize:
        raise ValueError("nothing before the resize here: proposals would not follow")
    return images


@dataclass(frozen=True)
class RoiConfig(RegionNetworkConfig):
    """The RoI head, on the proposals of stage `proposals`.

    `images.before_resize` must be empty, because it would not change the proposals accordingly.
    """

    images: Annotated[ImageConfig, Check(_keeps_proposals)]
    proposals_per_image: Positive = field(kw_only=True)


@dataclass(frozen=True)
class EndToEndConfig(RegionNetworkConfig):
    """The RoI network with an RPN on its feature map; replaces stages `rpn` and `roi`."""

    kind: Literal["rpn"] = field(kw_only=True)
    rpn_head: RPNHeadConfig = field(kw_only=True)


@dataclass(frozen=True)
class Decoupled:
    """Two separate networks, of stages `rpn` and `roi`."""

    kind: Literal["none"]


EndToEnd = Annotated[Decoupled | EndToEndConfig, Tagged("kind")]


@dataclass(frozen=True)
class RawConfig:
    """Inference of the RoI network on the evaluation images; `proposals` are per image.

    `precision` is the type in which region embeddings are stored.
    """

    proposals: Positive
    precision: Literal["float16", "float32"] = "float16"
    batch_size: Positive = free(4)
    images_per_shard: Positive = free(256)
    processes: Positive = free(1)


@dataclass(frozen=True)
class CalibrationConfig:
    """Score fusion s = p^beta * eta^(1-beta) and p / prior^gamma."""

    beta: Fraction
    gamma: Annotated[float, Within(ge=0, le=2)]
    compat: Compat = "default"


@dataclass(frozen=True)
class DetectionConfig:
    """How scored regions become detections."""

    suppression: Literal["soft", "hard"]
    nms: Fraction
    score_threshold: Fraction
    max_per_image: Positive


@dataclass(frozen=True)
class LvisEvalConfig:
    """`max_detections_per_category` > 0 adds fixed and pooled AP; 0 omits them."""

    max_detections_per_category: NonNegative


@dataclass(frozen=True)
class SweepConfig:
    """The grid of values that `calibration_sweep` evaluates."""

    betas: tuple[Fraction, ...]
    gammas: tuple[Annotated[float, Within(ge=0, le=2)], ...]
    caps: tuple[Positive, ...]


@dataclass(frozen=True)
class ReportConfig:
    """`examples`: number of example images in a report."""

    examples: NonNegative
