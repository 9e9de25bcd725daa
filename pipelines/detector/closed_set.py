"""A detector of the classes that it was trained on: NanoDet-Plus, RT-DETR, DETR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unidet.config.images import ImageConfig, KeepRatioImages
from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.pictures.detections import Detections
from unidet.pipelines.detector.network import (
    NO_BOXES,
    NO_LABELS,
    DetectBatch,
    Prepared,
    Shape,
)
from unidet.pipelines.detector.onnx_file import GRAPHS, Exported, no_graph, resize_of
from unidet.pipelines.detector.options import Options
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.records import Detected
from unidet.vocabularies.vocabulary import Known, Vocabulary

if TYPE_CHECKING:
    from unidet.pipelines.proposers.proposer import Detector

NO_LABEL = -1


class ClosedSet:
    """Detects the outputs of one network.

    Args:
        network: tells classes apart.
        images: how images come to it.
        outputs: the name of each of the network's outputs, None for one that stands for nothing;
            or how many there are where their names are not known.
        most_proposals: at most so many an image.
        are_supposed: whether the names are those of a published network with as many outputs, and
            not the file's own; then as many other names are taken in the order of the outputs.
    """

    def __init__(
        self,
        network: Detector,
        images: ImageConfig,
        outputs: Sequence[str | None] | int,
        most_proposals: int,
        *,
        are_supposed: bool = False,
    ) -> None:
        self._network, self._images = network, images
        self._transform = evaluation_transform(images)
        self._outputs, self._most = outputs, most_proposals
        self._are_supposed, self._is_told = are_supposed, False
        named = None if isinstance(outputs, int) else outputs
        self.names = None if named is None else tuple(name for name in named if name is not None)
        self.asks = (
            f"this model has {outputs} classes whose names are not known; give all {outputs}, "
            "in the order of its outputs"
        )

    def shape(self, height: int, width: int) -> Shape:
        return (self._transform.padded_size(width, height),)

    def prepare(self, pixels: np.ndarray) -> Prepared:
        rng = np.random.default_rng(0)
        sample = self._transform.apply(pixels, NO_BOXES, NO_LABELS, None, rng)
        return Prepared.of(pixels, sample)

    def detector(self, vocabulary: Vocabulary | None, options: Options) -> DetectBatch:
        if options.gamma:
            raise UserError("gamma: calibrates an open vocabulary; this model has fixed classes")
        labels = self._labels(vocabulary)
        names = vocabulary.names if vocabulary else self.names or ()

        def detect(batch: Sequence[Prepared]) -> list[Detections]:
            from unidet.training.inference import as_images

            images = self._transform.collate([picture.samples[0] for picture in batch])
            everything = self._network.detect(as_images(images), images.sizes_N2)
            return [
                _chosen(detected, scale, picture, labels, names, options)
                for detected, scale, picture in zip(
                    everything, images.scales_N4, batch, strict=True
                )
            ]

        return detect

    def _labels(self, vocabulary: Vocabulary | None) -> np.ndarray:
        """(O,) int64 position in the vocabulary of each output, `NO_LABEL` for none."""
        if isinstance(self._outputs, int):
            if vocabulary is None or len(vocabulary) != self._outputs:
                raise UserError(f"vocabulary: {self.asks}")
            return np.arange(self._outputs)
        labels = np.full(len(self._outputs), NO_LABEL, np.int64)
        named = [place for place, name in enumerate(self._outputs) if name is not None]
        if vocabulary is None:
            self._tell_of_names([str(self._outputs[place]) for place in named])
            labels[named] = np.arange(len(named))
            return labels
        known = Known(name for name in self._outputs if name is not None)
        if self._are_by_position(vocabulary, known):
            return np.arange(len(labels))
        for label, entry in enumerate(vocabulary.entries):
            place = None if entry.embedding is not None else known.place(entry)
            if place is None:
                every = f", or all {len(labels)} in the order of its outputs" * self._are_supposed
                raise known.refuse(entry, f"other names need an open-vocabulary model{every}")
            if (twin := labels[named[place]]) != NO_LABEL:
                raise UserError(
                    f"vocabulary: {entry.name!r} and {vocabulary.names[twin]!r} are one name to "
                    f"this model, {known.names[place]!r}; leave one out"
                )
            labels[named[place]] = label
        return labels

    def _are_by_position(self, vocabulary: Vocabulary, known: Known) -> bool:
        """Whether these are a network's own names, and not some of a published one's."""
        if not self._are_supposed or isinstance(self._outputs, int):
            return False
        entries = vocabulary.entries
        are_words = all(entry.embedding is None for entry in entries)
        is_every = are_words and len(vocabulary) == len(self._outputs)
        return is_every and any(known.place(entry) is None for entry in entries)

    def _tell_of_names(self, names: Sequence[str]) -> None:
        if self._are_supposed and not self._is_told:
            self._is_told = True
            some = ", ".join(map(repr, names[:3]))
            say(
                f"the weights name none of their {len(names)} classes, which are taken for "
                f"{some}, …; if they are others, give all their names (--vocab) in the order of "
                "the outputs"
            )

    def proposals(self, pixels: np.ndarray) -> np.ndarray:
        from unidet.training.inference import as_images

        images = self._transform.collate([*self.prepare(pixels).samples])
        (boxes_P5,) = self._network.propose(as_images(images), images.sizes_N2)
        best = np.array(boxes_P5[: self._most], np.float32)
        best[:, :4] /= images.scales_N4[0]
        return best

    def embed(self, pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
        raise UserError("embed: this model has fixed classes and no region embeddings")

    def embed_text(self, vocabulary: Vocabulary) -> np.ndarray:
        raise UserError("embed_text: this model has fixed classes and no text embeddings")

    def exported(self, vocabulary: Vocabulary | None, *, every_box: bool) -> Exported:
        from unidet.export.closed_set import closed_set_graph
        from unidet.export.images import Pixels

        if type(self._network).__name__ not in GRAPHS:
            raise no_graph(self._network)
        labels = self._labels(vocabulary)
        names = vocabulary.names if vocabulary else self.names or ()
        classes = [int(np.flatnonzero(labels == label)[0]) for label in range(len(names))]
        transform = self._transform
        pixels = Pixels(transform.mean, transform.std, transform.channels)
        size = self._exact_size()
        graph = closed_set_graph(self._network, pixels, size, classes, every_box=every_box)
        return Exported(graph, names, resize_of(self._images))

    def _exact_size(self) -> tuple[int, int]:
        """Height and width of every image that the network sees."""
        images = self._images
        if isinstance(images, KeepRatioImages):
            raise UserError(
                "rpn.images.kind: is keep_ratio, whose images differ in size; a graph needs stretch"
            )
        if images.test_side % images.divisor:
            raise UserError(
                f"rpn.images.test_side: is {images.test_side}; for a graph it must be a multiple "
                f"of {images.divisor}"
            )
        return images.test_side, images.test_side


def _chosen(
    detected: Detected,
    scale: np.ndarray,
    picture: Prepared,
    labels: np.ndarray,
    names: tuple[str, ...],
    options: Options,
) -> Detections:
    """What is wanted of the network's detections, in pixels of the image."""
    rows = np.flatnonzero(labels[detected.labels] != NO_LABEL)
    boxes = (detected.boxes[rows].astype(np.float64) / scale).astype(np.float32)
    detections = Detections(
        boxes, detected.scores[rows], labels[detected.labels[rows]], names, picture.size_hw
    )
    return detections.take(options.choose(boxes, detections.scores))
