"""UniDetector's two stages on pictures: proposals, regions, and the names that they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unidet.config.study import Config
from unidet.data.transforms import Sample
from unidet.errors import UserError
from unidet.evaluation.calibration import calibration_weights, prior_counts
from unidet.evaluation.detections import Scoring, TextClassifier, detect
from unidet.evaluation.proposal_union import union
from unidet.evaluation.regions import Regions
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pictures.detections import Detections
from unidet.pipelines.detector.network import (
    NO_BOXES,
    NO_LABELS,
    DetectBatch,
    Prepared,
    Shape,
)
from unidet.pipelines.detector.options import Options
from unidet.pipelines.detector.shown import Shown
from unidet.pipelines.detector.texts import Texts
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.pipelines.wiring.region_scoring import suppression
from unidet.pipelines.wiring.study_sets import proposers
from unidet.vocabularies.vocabulary import Vocabulary

if TYPE_CHECKING:
    from unidet.models.roi_classifier import RoiClassifier
    from unidet.pipelines.proposers.proposer import Proposer
    from unidet.records import Batch


class TwoStage:
    """One proposal network or several, a RoI head, and embeddings of names.

    Every value is the configuration's, as stages `proposals`, `lvis_raw` and `lvis_eval` take it.
    """

    def __init__(
        self,
        config: Config,
        networks: Mapping[str, Proposer],
        regions: RoiClassifier,
        texts: Texts,
    ) -> None:
        self._config, self._texts = config, texts
        self._regions = regions
        self._networks = [networks[name] for name in proposers(config)]
        images = [*(rpn.images for rpn in proposers(config).values()), config.roi.images]
        self._transforms = [evaluation_transform(entry) for entry in images]
        self.names = texts.names

    def shape(self, height: int, width: int) -> Shape:
        return tuple(part.padded_size(width, height) for part in self._transforms)

    def prepare(self, pixels: np.ndarray) -> Prepared:
        """A sample for each proposal network, and the RoI head's last."""
        rng = np.random.default_rng(0)
        resized: dict[tuple[object, bool], Sample] = {}
        for part in self._transforms:
            how = (part.resize, part.smooth)
            if how not in resized:
                resized[how] = part.apply(pixels, NO_BOXES, NO_LABELS, None, rng)
        samples = (resized[part.resize, part.smooth] for part in self._transforms)
        return Prepared.of(pixels, *samples)

    # --- detections ----------------------------------------------------------------------------

    def detector(self, vocabulary: Vocabulary | None, options: Options) -> DetectBatch:
        if vocabulary is None and self.names is None:
            raise UserError(
                'vocabulary: this model takes any name; say which, such as "cat, traffic light"'
            )
        wanted = Vocabulary.of(self.names or ()) if vocabulary is None else vocabulary
        score = _Scorer(self._config, self._classifier(wanted), self._shown(wanted), options)

        def detect_batch(batch: Sequence[Prepared]) -> list[Detections]:
            pairs = zip(self._regions_of(batch), batch, strict=True)
            return [score(region, wanted.names, picture.size_hw) for region, picture in pairs]

        return detect_batch

    def _classifier(self, vocabulary: Vocabulary) -> TextClassifier:
        vectors, width = self._texts.embed(vocabulary), self._config.roi.network.embedding
        if vectors.shape[1] != width:
            raise UserError(
                f"vocabulary: its embeddings have {vectors.shape[1]} dimensions, the network's "
                f"regions {width}; they come from different CLIP models"
            )
        settings = self._regions.classifier.settings()
        return TextClassifier.of(vectors, np.arange(len(vocabulary)), **settings)

    def _shown(self, vocabulary: Vocabulary) -> Shown | None:
        """Where some categories are shown by examples: what makes classifiers of them."""
        is_shown = np.array([entry.embedding is not None for entry in vocabulary.entries])
        if not is_shown.any():
            return None
        typical = self._texts.typical
        return Shown(
            self._texts.embed(vocabulary), is_shown, None if typical is None else typical.vectors
        )

    def _regions_of(self, batch: Sequence[Prepared]) -> list[Regions]:
        """Refined boxes in pixels of each picture; embeddings as `lvis_raw` keeps them."""
        most = min(self._config.proposals.keep, self._config.lvis_raw.proposals)
        proposals = [rows[:most] for rows in self._proposed(batch)]
        pairs = zip(self._embedded(batch, proposals), proposals, strict=True)
        precision = self._config.lvis_raw.precision
        return [
            Regions(0, boxes, rows[:, 4], embeddings.astype(precision))
            for (boxes, embeddings), rows in pairs
        ]

    # --- the networks --------------------------------------------------------------------------

    def _proposed(self, batch: Sequence[Prepared]) -> list[np.ndarray]:
        """(P, 5) proposals in pixels of each picture, of all networks together."""
        settings = self._config.proposals
        dumps = [self._proposed_by(number, batch) for number in range(len(self._networks))]
        if len(dumps) == 1:
            return dumps[0]
        return [
            union([rows[: settings.keep] for rows in parts], settings.keep, settings.merge_nms)
            for parts in zip(*dumps, strict=True)
        ]

    def _proposed_by(self, number: int, batch: Sequence[Prepared]) -> list[np.ndarray]:
        from unidet.training.inference import as_images

        images = self._transforms[number].collate([picture.samples[number] for picture in batch])
        proposals = self._networks[number].propose(as_images(images), images.sizes_N2)
        return [
            np.concatenate([rows[:, :4] / scale, rows[:, 4:]], axis=1).astype(np.float32)
            for rows, scale in zip(proposals, images.scales_N4, strict=True)
        ]

    def _embedded(
        self, batch: Sequence[Prepared], proposals: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Refined boxes in pixels of each picture and embeddings of its proposals."""
        from unidet.training.inference import as_images

        images: Batch = self._transforms[-1].collate([picture.samples[-1] for picture in batch])
        moved = [
            _resized(rows, picture.samples[-1])
            for rows, picture in zip(proposals, batch, strict=True)
        ]
        regions = self._regions.regions(as_images(images), images.sizes_N2, moved)
        return [
            ((boxes / scale).astype(np.float32), embeddings)
            for (boxes, embeddings), scale in zip(regions, images.scales_N4, strict=True)
        ]

    def proposals(self, pixels: np.ndarray) -> np.ndarray:
        return self._proposed([self.prepare(pixels)])[0][: self._config.proposals.keep]

    def embed(self, pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
        return self._embedded([self.prepare(pixels)], [np.asarray(boxes_xyxy, np.float32)])[0][1]

    def embed_text(self, vocabulary: Vocabulary) -> np.ndarray:
        return self._texts.embed(vocabulary)


class _Scorer:
    """From regions to the detections that are wanted, picture after picture of one stream."""

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


def _resized(boxes_xyxy: np.ndarray, sample: Sample) -> np.ndarray:
    """(P, 4) boxes of the picture in a resized sample of it, clipped to that."""
    height, width = sample.pixels.shape[:2]
    limits = np.array([width, height, width, height], np.float32)
    return (boxes_xyxy[:, :4] * sample.scale).clip(0, limits)
