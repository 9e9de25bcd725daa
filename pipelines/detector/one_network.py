"""UniDetector end to end on images: one network proposes and classifies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unidet.config.images import ImageConfig
from unidet.config.study import Config
from unidet.evaluation.regions import Regions
from unidet.pipelines.detector.network import NO_BOXES, NO_LABELS, Prepared, Shape
from unidet.pipelines.detector.open_vocabulary import OpenVocabulary
from unidet.pipelines.detector.texts import Texts
from unidet.pipelines.detector.two_stage import resized
from unidet.pipelines.wiring.image_batches import evaluation_transform

if TYPE_CHECKING:
    from unidet.models.end2end import EndToEnd
    from unidet.records import Batch


class OneNetwork(OpenVocabulary):
    """A network that proposes and classifies, and text embeddings."""

    def __init__(
        self, config: Config, network: EndToEnd, images: ImageConfig, texts: Texts
    ) -> None:
        super().__init__(config, network.regions, texts)
        self._network = network
        self._transform = evaluation_transform(images)

    def shape(self, height: int, width: int) -> Shape:
        return (self._transform.padded_size(width, height),)

    def prepare(self, pixels: np.ndarray) -> Prepared:
        rng = np.random.default_rng(0)
        return Prepared.of(pixels, self._transform.apply(pixels, NO_BOXES, NO_LABELS, None, rng))

    def _regions_of(self, batch: Sequence[Prepared]) -> list[Regions]:
        from unidet.training.inference import as_images

        images = self._collated(batch)
        by_images = self._network.detect_regions(as_images(images), images.sizes_N2, self._most)
        precision = self._config.lvis_raw.precision
        return [
            Regions(0, (boxes / scale).astype(np.float32), rows[:, 4], embeddings.astype(precision))
            for (rows, boxes, embeddings), scale in zip(by_images, images.scales_N4, strict=True)
        ]

    def _collated(self, batch: Sequence[Prepared]) -> Batch:
        return self._transform.collate([picture.samples[0] for picture in batch])

    def proposals(self, pixels: np.ndarray) -> np.ndarray:
        from unidet.training.inference import as_images

        images = self._collated([self.prepare(pixels)])
        (rows,) = self._network.propose(as_images(images), images.sizes_N2)
        best = rows[: self._config.proposals.keep]
        boxes = best[:, :4] / images.scales_N4[0]
        return np.concatenate([boxes, best[:, 4:]], axis=1).astype(np.float32)

    def embed(self, pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
        from unidet.training.inference import as_images

        picture = self.prepare(pixels)
        images = self._collated([picture])
        moved = resized(np.asarray(boxes_xyxy, np.float32), picture.samples[0])
        ((_, embeddings),) = self._regions.regions(as_images(images), images.sizes_N2, [moved])
        return embeddings
