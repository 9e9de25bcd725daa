"""Open-vocabulary detection: scores regions against category names, whichever network proposed
them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.evaluation.calibration import calibration_weights, prior_counts
from unidet.evaluation.detections import Scoring, TextClassifier, detect
from unidet.evaluation.regions import Regions
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pictures.detections import Detections
from unidet.pipelines.detector.network import DetectBatch, Prepared
from unidet.pipelines.detector.onnx_file import Exported, no_graph
from unidet.pipelines.detector.options import Options
from unidet.pipelines.detector.shown import Shown
from unidet.pipelines.detector.texts import Texts
from unidet.pipelines.wiring.region_scoring import suppression
from unidet.vocabularies.vocabulary import Entry, Vocabulary

if TYPE_CHECKING:
    from unidet.models.roi_classifier import RoiClassifier


class OpenVocabulary(ABC):
    """A RoI network and text embeddings; subclasses provide the regions.

    Every value is the configuration's, as stages `proposals`, `lvis_raw` and `lvis_eval` take it.
    """

    asks = (
        'this model takes any name; say which, such as "cat, traffic light", a file with one a '
        "line, or a list such as coco"
    )

    def __init__(self, config: Config, regions: RoiClassifier, texts: Texts) -> None:
        self._config, self._regions, self._texts = config, regions, texts
        self.names = texts.names

    @property
    def _most(self) -> int:
        """Maximum number of regions per image."""
        return min(self._config.proposals.keep, self._config.lvis_raw.proposals)

    @abstractmethod
    def _regions_of(self, batch: Sequence[Prepared]) -> list[Regions]:
        """Refined boxes in pixels of each image; embeddings as `lvis_raw` keeps them."""

    def detector(self, vocabulary: Vocabulary | None, options: Options) -> DetectBatch:
        wanted = self._wanted(vocabulary)
        score = _Scorer(self._config, self._classifier(wanted), self._shown(wanted), options)

        def detect_batch(batch: Sequence[Prepared]) -> list[Detections]:
            pairs = zip(self._regions_of(batch), batch, strict=True)
            return [score(region, wanted.names, picture.size_hw) for region, picture in pairs]

        return detect_batch

    def _wanted(self, vocabulary: Vocabulary | None) -> Vocabulary:
        """The given categories, or the model's own."""
        if vocabulary is None and self.names is None:
            raise UserError(f"vocabulary: {self.asks}")
        own = tuple(Entry(name) for name in self.names or ())  # may differ in case alone
        return Vocabulary(own) if vocabulary is None else vocabulary

    def _classifier(self, vocabulary: Vocabulary) -> TextClassifier:
        vectors, width = self._texts.embed(vocabulary), self._regions.settings.embedding
        if vectors.shape[1] != width:
            raise UserError(
                f"vocabulary: its embeddings have {vectors.shape[1]} dimensions, the network's "
                f"regions {width}; they come from different CLIP models"
            )
        settings = self._regions.classifier.settings()
        return TextClassifier.of(vectors, np.arange(len(vocabulary)), **settings)

    def _shown(self, vocabulary: Vocabulary) -> Shown | None:
        """Classifiers of categories given by examples; None without any."""
        is_shown = np.array([entry.embedding is not None for entry in vocabulary.entries])
        if not is_shown.any():
            return None
        typical = self._texts.typical
        return Shown(
            self._texts.embed(vocabulary), is_shown, None if typical is None else typical.vectors
        )

    def embed_text(self, vocabulary: Vocabulary) -> np.ndarray:
        return self._texts.embed(vocabulary)

    def exported(self, vocabulary: Vocabulary | None, *, every_box: bool) -> Exported:
        raise no_graph(self._regions)


class _Scorer:
    """Turns the regions of each image of a stream into detections."""

    def __init__(
        self, config: Config, classifier: TextClassifier, shown: Shown | None, options: Options
    ) -> None:
        self._classifier, self._shown, self._options = classifier, shown, options
        self._beta = config.calibration.beta
        settings = suppression(config.detection, config.calibration.compat)
        most = max(settings.max_per_image, options.top_k)
        self._suppression = replace(settings, max_per_image=most)
        self._counts = np.zeros(len(classifier.category_ids), np.int64)

    def __call__(
        self, regions: Regions, names: tuple[str, ...], size_hw: tuple[int, int]
    ) -> Detections:
        if self._shown is not None:
            vectors = self._shown.after(regions.embeddings)
            self._classifier = replace(self._classifier, text_embeddings=vectors)
        boxes, scores, labels = self._scored(regions, Scoring(self._beta))
        if self._options.gamma:
            self._counts += prior_counts(labels, self._classifier.category_ids)
            weights = calibration_weights(self._counts, self._options.gamma)
            boxes, scores, labels = self._scored(regions, Scoring(self._beta, weights))
            scores = np.minimum(scores, 1)  # a weight may lift one beyond
        detections = Detections(boxes, scores, labels, names, size_hw)
        return detections.take(self._options.choose(boxes, scores))

    def _scored(
        self, regions: Regions, scoring: Scoring
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        (detected,) = detect([regions], self._classifier, [scoring], self._suppression)
        corners = xywh_to_xyxy(detected.boxes_xywh).astype(np.float32)
        return corners, detected.scores.astype(np.float32), detected.category_ids.astype(np.int64)
