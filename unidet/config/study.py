"""Schema of a complete study."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unidet.config.data import Data
from unidet.config.fields import SCHEMA, FolderPath, NonNegative, Seed, StoreAddress, free
from unidet.config.finetune import Finetune
from unidet.config.machines import ClusterConfig, TrainConfig
from unidet.config.stages import (
    CalibrationConfig,
    Clip,
    DetectionConfig,
    Embeddings,
    EndToEnd,
    LvisEvalConfig,
    ProposalsConfig,
    ProposerStudyConfig,
    RawConfig,
    ReportConfig,
    RoiConfig,
    RpnConfig,
    SweepConfig,
)
from unidet.config.training import Precision


@dataclass(frozen=True)
class StoreConfig:
    root: FolderPath


@dataclass(frozen=True)
class RuntimeConfig:
    """How stages run.

    `threads` 0 means `$OMP_NUM_THREADS`, else one per core. `precision` applies to training
    (docs/gpu.md).
    """

    device: Literal["auto", "cpu", "cuda"]
    threads: NonNegative
    verbose: bool
    precision: Precision = "float32"


@dataclass(frozen=True)
class Config:
    """The complete configuration of a run, for any target stage.

    `stage` is a stage, or one of its artefacts, such as `proposals:val`.

    `remote` is the address of another store, which a run searches before it computes.

    `proposers` has the page of `conf/rpn/` of each network in `proposals.merge`.
    """

    __pydantic_config__ = SCHEMA

    stage: str
    experiment: str
    seed: Seed
    upstream: Literal["build", "require"]
    store: StoreConfig
    runtime: RuntimeConfig
    cluster: ClusterConfig
    train: TrainConfig
    data: Data
    clip: Clip
    clip_embeddings: Embeddings
    rpn: RpnConfig
    proposals: ProposalsConfig
    proposer_study: ProposerStudyConfig
    roi: RoiConfig
    end2end: EndToEnd
    finetune: Finetune
    lvis_raw: RawConfig
    calibration: CalibrationConfig
    detection: DetectionConfig
    lvis_eval: LvisEvalConfig
    calibration_sweep: SweepConfig
    report: ReportConfig
    remote: StoreAddress = free("")
    proposers: dict[str, RpnConfig] = field(default_factory=dict)
