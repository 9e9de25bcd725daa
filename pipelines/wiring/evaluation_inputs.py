"""What `lvis_eval` and `calibration_sweep` share: regions, text classifier, suppression."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unidet.config.stages import DetectionConfig
from unidet.evaluation.calibration import Compatibility
from unidet.evaluation.detections import TextClassifier
from unidet.evaluation.regions import Regions
from unidet.evaluation.suppression import Suppression
from unidet.pipelines.engine.shards import Sharded
from unidet.pipelines.wiring.datasets import Judged


@dataclass(frozen=True)
class JudgedRegions:
    """The regions of an evaluation dataset's images, read anew at every pass."""

    folder: Path
    judged: Judged

    def __iter__(self) -> Iterator[Regions]:
        shards = Sharded(self.folder / self.judged.image_set)
        for place in np.argsort(self.judged.rows):
            columns = shards.of(int(self.judged.rows[place]))
            yield Regions(int(self.judged.split.image_ids[place]), **columns)


def text_classifier(raw: Path, embeddings: Path, judged: Judged) -> TextClassifier:
    """The classifier for a dataset's vocabulary."""
    with np.load(embeddings / f"{judged.vocabulary}.npz") as arrays:
        vectors = arrays["embeddings"]
    settings = json.loads((raw / "classifier.json").read_text())
    ids = np.array([category.id for category in judged.split.categories], np.int64)
    return TextClassifier.of(vectors, ids, **settings)


def suppression(settings: DetectionConfig, compat: Compatibility) -> Suppression:
    return Suppression(
        method=settings.suppression,
        iou_threshold=settings.nms,
        score_threshold=settings.score_threshold,
        max_per_image=settings.max_per_image,
        offset_classes=compat == "official",
    )
