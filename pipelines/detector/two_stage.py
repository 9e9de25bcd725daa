"""UniDetector's two stages on images: one network proposes, the other classifies regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unidet.config.study import Config
from unidet.data.transforms import Sample
from unidet.errors import UserError
from unidet.evaluation.detections import LARGEST_LOGIT
from unidet.evaluation.proposal_union import union
from unidet.evaluation.regions import Regions
from unidet.pipelines.detector.network import NO_BOXES, NO_LABELS, Prepared, Shape
from unidet.pipelines.detector.onnx_file import Exported, resize_of
from unidet.pipelines.detector.open_vocabulary import OpenVocabulary
from unidet.pipelines.detector.texts import Texts
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.pipelines.wiring.study_sets import proposers
from unidet.vocabularies.vocabulary import Vocabulary

if TYPE_CHECKING:
    from unidet.models.roi_classifier import RoiClassifier
    from unidet.pipelines.proposers.proposer import Proposer
    from unidet.records import Batch


class TwoStage(OpenVocabulary):
    """One or several proposal networks, a RoI head, and text embeddings."""

    def __init__(
        self,
        config: Config,
        networks: Mapping[str, Proposer],
        regions: RoiClassifier,
        texts: Texts,
    ) -> None:
        super().__init__(config, regions, texts)
        self._networks = [networks[name] for name in proposers(config)]
        images = [*(rpn.images for rpn in proposers(config).values()), config.roi.images]
        self._transforms = [evaluation_transform(entry) for entry in images]

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

    def _regions_of(self, batch: Sequence[Prepared]) -> list[Regions]:
        proposals = [rows[: self._most] for rows in self._proposed(batch)]
        pairs = zip(self._embedded(batch, proposals), proposals, strict=True)
        precision = self._config.lvis_raw.precision
        return [
            Regions(0, boxes, rows[:, 4], embeddings.astype(precision))
            for (boxes, embeddings), rows in pairs
        ]

    def _proposed(self, batch: Sequence[Prepared]) -> list[np.ndarray]:
        """(P, 5) proposals in pixels of each image, of all networks together."""
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
        """Refined boxes in pixels of each image and embeddings of its proposals."""
        from unidet.training.inference import as_images

        images: Batch = self._transforms[-1].collate([picture.samples[-1] for picture in batch])
        moved = [
            resized(rows, picture.samples[-1])
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

    def exported(self, vocabulary: Vocabulary | None, *, every_box: bool) -> Exported:
        """The graph of the second stage, with regions as an input."""
        from unidet.export.images import Pixels
        from unidet.export.regions import Names, regions_graph

        if every_box:
            raise UserError("raw: a second stage's file has no NMS inside, with or without it")
        wanted = self._wanted(vocabulary)
        if self._shown(wanted) is not None:
            raise UserError("vocabulary: a file takes names, not examples")
        classifier = self._classifier(wanted)
        names = Names(
            classifier.text_embeddings,
            classifier.scale,
            classifier.bias,
            float(LARGEST_LOGIT),
            self._config.calibration.beta,
        )
        transform = self._transforms[-1]
        pixels = Pixels(transform.mean, transform.std, transform.channels)
        graph = regions_graph(self._regions, pixels, names)
        return Exported(graph, wanted.names, resize_of(self._config.roi.images))


def resized(boxes_xyxy: np.ndarray, sample: Sample) -> np.ndarray:
    """(P, 4) boxes of the image in a resized sample of it, clipped to that."""
    height, width = sample.pixels.shape[:2]
    limits = np.array([width, height, width, height], np.float32)
    return (boxes_xyxy[:, :4] * sample.scale).clip(0, limits)
