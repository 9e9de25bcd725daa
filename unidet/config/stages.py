"""The schema of what each stage reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unidet.config.compat import Compat
from unidet.config.fields import (
    Check,
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
    ResNetConfig,
    RPNHeadConfig,
    TextConfig,
)
from unidet.config.training import SamplerConfig, TrainingConfig


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class PublishedClip:
    """OpenAI's CLIP (RN50 or RN50x4) from its files; paths relative to `data.root`.

    `checkpoint` is the published `.pt` or a file of ours made of it, `merges` the BPE merges
    `bpe_simple_vocab_16e6.txt.gz`.
    """

    kind: Literal["openai"]
    checkpoint: FilePath
    merges: FilePath


@dataclass(frozen=True)
class AbsentClip:
    """No CLIP network: text embeddings are given."""

    kind: Literal["none"]


Clip = Annotated[TrainedClip | PublishedClip | AbsentClip, Tagged("kind")]


@dataclass(frozen=True)
class TextEmbeddings:
    """Names embedded by the `clip` stage's text encoder, averaged over templates.

    `normalize_each` true is CLIP's own recipe; false averages raw features as the official
    UniDetector embeddings do. `replacements` are made in every name before it enters a template.
    `truncate` cuts a text that is too long for CLIP, which otherwise is an error.
    """

    source: Literal["clip"]
    templates: tuple[str, ...]
    normalize_each: bool = True
    replacements: dict[str, str] = field(default_factory=dict)
    truncate: bool = False


@dataclass(frozen=True)
class FileEmbeddings:
    """Ready (C, D) `.npy` arrays, rows in order of category id; paths relative to `data.root`."""

    source: Literal["files"]
    files: dict[str, FilePath] = free(...)


@dataclass(frozen=True)
class AbsentEmbeddings:
    """No text at all: a closed-set study, which ends in `coco_eval` and has no RoI head."""

    source: Literal["none"]


Embeddings = Annotated[TextEmbeddings | FileEmbeddings | AbsentEmbeddings, Tagged("source")]


@dataclass(frozen=True)
class RpnConfig:
    """The proposal network.

    `classes`: "agnostic" learns one class, object, on every training dataset; "dataset" learns the
    categories of the first one on its images alone, "category_ids" the same with an output for
    every number up to the largest category id, as official DETR has it. `weights`: a checkpoint to
    start from, ours or official, relative to `data.root`; the network keeps it where `training` is
    null.
    """

    network: ProposerConfig
    images: ImageConfig
    training: TrainingConfig | None
    classes: Literal["agnostic", "dataset", "category_ids"] = "agnostic"
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    weights: FilePath = free("")


@dataclass(frozen=True)
class ProposalsConfig:
    """Proposals: at most `keep` per image.

    `files`: those of others in place of the network's, a file (mmdet's pickle, or results in JSON)
    for each training and evaluation dataset; paths relative to `data.root`. A training dataset is
    called `training/NAME` where an evaluation dataset is called NAME. `training` false leaves the
    training datasets out, which a RoI head that is not trained here does not need.

    `merge`: the networks of these pages of `conf/rpn/` propose together, in place of `rpn`; of
    their boxes NMS at IoU `merge_nms` leaves one.
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
    """`timed_images`: images that the network's speed is measured on."""

    timed_images: Positive = 20


@dataclass(frozen=True)
class RegionNetworkConfig:
    """A network that classifies regions, and its training. `weights`, and `training` null: as in
    `RpnConfig`.

    `text`: "random" trains it with random embeddings of the names, a control.
    """

    network: ClassifierConfig
    images: ImageConfig
    training: TrainingConfig | None
    text: Literal["clip", "random"] = "clip"
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    weights: FilePath = free("")


def _keeps_proposals(images: ImageConfig) -> ImageConfig:
    if images.before_resize:
        raise ValueError("nothing before the resize here: proposals would not follow")
    return images


@dataclass(frozen=True)
class RoiConfig(RegionNetworkConfig):
    """The RoI head, on the proposals of stage `proposals`.

    `images` with nothing before the resize, which proposals would not follow.
    """

    images: Annotated[ImageConfig, Check(_keeps_proposals)]
    proposals_per_image: Positive = field(kw_only=True)


@dataclass(frozen=True)
class EndToEndConfig(RegionNetworkConfig):
    """The RoI network with an RPN on its feature map, which replaces stages `rpn` and `roi`."""

    kind: Literal["rpn"] = field(kw_only=True)
    rpn_head: RPNHeadConfig = field(kw_only=True)


@dataclass(frozen=True)
class Decoupled:
    """Two networks, of stages `rpn` and `roi`."""

    kind: Literal["none"]


EndToEnd = Annotated[Decoupled | EndToEndConfig, Tagged("kind")]


@dataclass(frozen=True)
class RawConfig:
    """The network's pass over the evaluation images; `proposals` an image.

    `precision` is that of the region embeddings that it keeps.
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
    """From scored regions to detections."""

    suppression: Literal["soft", "hard"]
    nms: Fraction
    score_threshold: Fraction
    max_per_image: Positive


@dataclass(frozen=True)
class LvisEvalConfig:
    """With `max_detections_per_category`, fixed and pooled AP too; 0 is without."""

    max_detections_per_category: NonNegative


@dataclass(frozen=True)
class SweepConfig:
    """The grid that `calibration_sweep` evaluates."""

    betas: tuple[Fraction, ...]
    gammas: tuple[Annotated[float, Within(ge=0, le=2)], ...]
    caps: tuple[Positive, ...]


@dataclass(frozen=True)
class ReportConfig:
    """How many example images a report shows."""

    examples: NonNegative
