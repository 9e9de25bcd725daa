"""What `lvis_eval` and `calibration_sweep` score: regions, a text classifier, NMS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.config.compat import Compat
from unidet.config.stages import DetectionConfig
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.embedding_artefacts import read_classifier, read_embeddings
from unidet.pipelines.wiring.image_sets import ImageSet

if TYPE_CHECKING:
    import numpy as np

    from unidet.evaluation.detections import Scoring, TextClassifier
    from unidet.evaluation.regions import Regions
    from unidet.evaluation.soft_nms import Suppression
    from unidet.records import Detections

_COLUMNS = ("boxes_xyxy", "proposal_scores", "embeddings")


@dataclass(frozen=True)
class SetRegions:
    """The regions of an evaluation set's images, read anew at every pass."""

    folder: Path
    image_ids: np.ndarray

    @property
    def length(self) -> int | None:
        """D of the regions' embeddings; None where there is no image."""
        shards = Sharded(self.folder / SHARDS)
        return shards.of(0)["embeddings"].shape[1] if len(shards) else None

    def __iter__(self) -> Iterator[Regions]:
        from unidet.evaluation.regions import Regions

        shards = Sharded(self.folder / SHARDS)
        for row, image_id in enumerate(self.image_ids):
            columns = shards.of(row)
            yield Regions(int(image_id), *(columns[name] for name in _COLUMNS))


def regions_of(job: Job, data: ImageSet) -> SetRegions:
    """What `lvis_raw` has left of the job's evaluation set."""
    return SetRegions(job.inputs["lvis_raw"], data.split.image_ids)


def text_classifier(
    job: Job, data: ImageSet, embeddings_CD: np.ndarray | None = None
) -> TextClassifier:
    """The classifier for an evaluation set's vocabulary, or for other embeddings of its names."""
    import numpy as np

    from unidet.evaluation.detections import TextClassifier

    vectors = embeddings_CD
    if vectors is None:
        length = regions_of(job, data).length
        vectors = read_embeddings(job.inputs["clip_embeddings"], data, length)
    settings = read_classifier(job.inputs["lvis_raw"])
    ids = np.array([category.id for category in data.split.categories], np.int64)
    return TextClassifier.of(vectors, ids, **settings)


def detections_of(job: Job, data: ImageSet, text: TextClassifier) -> Detections:
    """What a classifier finds in the job's evaluation set, calibrated as configured."""
    from unidet.evaluation.detections import detect

    scorings = scorings_of(job, data, text, [None])
    (detections,) = detect(regions_of(job, data), text, scorings, suppression_of(job))
    return detections


def scorings_of(
    job: Job, data: ImageSet, text: TextClassifier, carried: Sequence[np.ndarray | None]
) -> list[Scoring]:
    """Calibrated as configured, one for each assignment of embeddings to names (see `Scoring`)."""
    from unidet.evaluation.detections import Scoring, calibrated

    calibration = job.config.calibration
    plain = [Scoring(calibration.beta, carried=rows) for rows in carried]
    images, suppressing = regions_of(job, data), suppression_of(job)
    return calibrated(images, text, plain, calibration.gamma, suppressing, calibration.compat)


def suppression_of(job: Job) -> Suppression:
    """NMS as configured."""
    return suppression(job.config.detection, job.config.calibration.compat)


def suppression(settings: DetectionConfig, compat: Compat) -> Suppression:
    from unidet.evaluation.soft_nms import Suppression

    return Suppression(
        method=settings.suppression,
        iou_threshold=settings.nms,
        score_threshold=settings.score_threshold,
        max_per_image=settings.max_per_image,
        offset_classes=compat == "official",
    )
