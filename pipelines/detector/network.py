"""The interface of the networks behind a model: regions or classes in batches of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from unidet.data.transforms import Sample
from unidet.pictures.detections import Detections
from unidet.pipelines.detector.options import Options
from unidet.vocabularies.vocabulary import Vocabulary

if TYPE_CHECKING:
    from unidet.pipelines.detector.onnx_file import Exported

NO_BOXES = np.zeros((0, 4), np.float32)
NO_LABELS = np.zeros(0, np.int32)
Shape = tuple[tuple[int, int], ...]
"""Padded (height, width) of an image before each part of a network."""


@dataclass(frozen=True)
class Prepared:
    """An image resized for each part of a network; `size_hw` is its original size."""

    size_hw: tuple[int, int]
    samples: tuple[Sample, ...]

    @classmethod
    def of(cls, pixels: np.ndarray, *samples: Sample) -> Prepared:
        """The samples of an image (H, W, 3)."""
        height, width, _ = pixels.shape
        return cls((height, width), samples)


DetectBatch = Callable[[Sequence[Prepared]], list[Detections]]
"""Detections of each of some images of one shape."""


class Network(Protocol):
    """A detector of one kind.

    Attributes:
        names: the default categories; None if names must be given.
        asks: which names must be given, to say so where `names` is None.
    """

    names: tuple[str, ...] | None
    asks: str

    def shape(self, height: int, width: int) -> Shape:
        """Images with the same shapes are batched."""

    def prepare(self, pixels: np.ndarray) -> Prepared:
        """Resize (H, W, 3) uint8 RGB; needs no tensors, so any thread may do it."""

    def detector(self, vocabulary: Vocabulary | None, options: Options) -> DetectBatch:
        """A detector of these categories (None: `names`) for one stream of images.

        Raises:
            UserError: a category that it cannot detect, or none at all.
        """

    def proposals(self, pixels: np.ndarray) -> np.ndarray:
        """(P, 5) float32 xyxy + score in pixels of the image, best first."""

    def embed(self, pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
        """(N, D) float32 of unit length; UserError where it embeds nothing."""

    def embed_text(self, vocabulary: Vocabulary) -> np.ndarray:
        """(C, D) float32 of unit length; UserError where it embeds nothing."""

    def exported(self, vocabulary: Vocabulary | None, *, every_box: bool) -> Exported:
        """What `Model.export_onnx` writes; UserError where this network has no graph."""
