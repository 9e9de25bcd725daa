"""A model that detects: `unidet.load(…)`, and the command `unidet detect` on top of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from unidet.backend.runtime import require_own_process
from unidet.data.pillow_files import faults_named
from unidet.errors import UserError
from unidet.pictures.decode import NETWORK_PIXELS, WHOLE_PIXELS, image_pixels, read_picture
from unidet.pictures.decode import Picture as Decoded
from unidet.pictures.detections import Detections
from unidet.pipelines.detector.network import Network
from unidet.pipelines.detector.onnx_file import check_onnx_target
from unidet.pipelines.detector.options import Options
from unidet.pipelines.detector.windows import batch_by_batch, check_picture
from unidet.vocabularies.vocabulary import Vocabulary

Names = Sequence[str] | str | Vocabulary
"""A list, text ("cat, dog"), a file of names, a shipped list ("coco"), or a vocabulary."""
Picture = np.ndarray | Image.Image | str | Path
"""(H, W, 3) uint8 RGB, an image of Pillow's, or a file."""
_ROUNDING = 1
"""So many pixels out of the image a corner may be by rounding."""


class Model:
    """Detects objects of given categories in images, and embeds regions; created by `load`.

    Attributes:
        names: the categories of a closed-set model or of a checkpoint's own vocabulary; None for an
            open vocabulary, which needs names in every call.
    """

    def __init__(self, network: Network) -> None:
        self._opened = network
        self.names = network.names

    @property
    def asks(self) -> str:
        """Which names must be given, to say so where `names` is None."""
        return self._opened.asks

    @property
    def _network(self) -> Network:
        """UserError in a process that was forked after loading."""
        require_own_process()
        return self._opened

    def stream(
        self,
        images: Iterable[np.ndarray],
        names: Names | None = None,
        options: Options | None = None,
    ) -> Iterator[Detections]:
        """Yields the detections of each image, in order.

        At most one batch is read ahead, and memory does not grow with the number of images.
        Images that the network sees at the same size are batched.

        Args:
            images: (H, W, 3) uint8 RGB each; any sizes.
            names: None: those of `self.names`.

        Raises:
            UserError: names that this model cannot detect (immediately), or an image of another
                form (at its turn).
        """
        vocabulary = None if names is None else Vocabulary.of(names)
        detect = self._network.detector(vocabulary, options or Options())
        return batch_by_batch(images, self._network, detect)

    @overload
    def detect(self, image: Picture, names: Names | None = None, **options: Any) -> Detections: ...

    @overload
    def detect(
        self, image: Iterable[Picture], names: Names | None = None, **options: Any
    ) -> list[Detections]: ...

    def detect(
        self, image: Picture | Iterable[Picture], names: Names | None = None, **options: Any
    ) -> Detections | list[Detections]:
        """The detections of one image, or of each of several.

        Args:
            image: an image, or a list, an (N, H, W, 3) array or any other iterable of images.
            names: as for `stream`.
            options: fields of `Options`: threshold, top_k, gamma, multi_label.

        Raises:
            UserError: as `stream`; an unknown option; a file that is no image.
        """
        chosen = Options.of(options)
        is_one = isinstance(image, Picture) and getattr(image, "ndim", 3) != 4
        several = isinstance(image, Iterable) and not is_one
        pictures: Iterable[Any] = image if several else [image]  # type: ignore[assignment]
        detections = self._detect(pictures, names, chosen)
        return list(detections) if several else next(detections)

    def _detect(
        self, pictures: Iterable[Picture], names: Names | None, options: Options
    ) -> Iterator[Detections]:
        """As `stream`, in the images' own pixels, each with its image as its source."""
        taken: deque[tuple[Path | np.ndarray, tuple[int, int]]] = deque()

        def pixels() -> Iterator[np.ndarray]:
            for picture in pictures:
                decoded, source = _decoded(picture, NETWORK_PIXELS)
                taken.append((source, decoded.size_hw))
                yield decoded.pixels

        for detections in self.stream(pixels(), names, options):
            source, size_hw = taken.popleft()
            yield replace(detections.resized(size_hw), source=source)

    def proposals(self, image: Picture) -> np.ndarray:
        """(P, 5) float32 class-agnostic boxes xyxy + score in pixels of the image, best first."""
        return self._network.proposals(_pixels(image))

    def embed(self, image: Picture, boxes_xyxy: np.ndarray | None = None) -> np.ndarray:
        """(N, D) float32 of unit length: the embeddings of regions, comparable with those of words.

        Args:
            boxes_xyxy: (N, 4) in pixels of the image; None: the whole of it.

        Raises:
            UserError: the model has fixed classes, or boxes of another shape, without area or that
                reach more than a pixel out of the image.
        """
        pixels = _pixels(image)
        height, width, _ = pixels.shape
        boxes = np.array([[0, 0, width, height]]) if boxes_xyxy is None else np.asarray(boxes_xyxy)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise UserError(f"embed: boxes have shape {boxes.shape}, must be (N, 4) xyxy in pixels")
        low, high = boxes[:, :2], boxes[:, 2:]
        inside = (low >= -_ROUNDING) & (high <= np.array([width, height]) + _ROUNDING)
        sound = ((low < high) & (low < (width, height)) & (high > 0) & inside).all(axis=1)
        if not sound.all():
            raise UserError(
                f"box {boxes[~sound][0].tolist()}: must be x1 < x2, y1 < y2 within the image's "
                f"{width}x{height} pixels"
            )
        if (fractions := (high <= 1).all(axis=1) & (max(width, height) > 1)).any():
            raise UserError(
                f"box {boxes[fractions][0].tolist()}: looks like fractions of the image, must be "
                f"in its {width}x{height} pixels"
            )
        return self._network.embed(pixels, boxes.astype(np.float32))

    def embed_text(self, names: Names) -> np.ndarray:
        """(C, D) float32 of unit length: the embeddings of names.

        Raises:
            UserError: the model has fixed classes, or a name that it cannot embed.
        """
        return self._network.embed_text(Vocabulary.of(names))

    def export_onnx(
        self, path: str | Path, names: Names | None = None, *, raw: bool = False
    ) -> tuple[str, ...]:
        """Write the network as an ONNX file, opset 17, any batch size; its names are returned.

        docs/export.md describes its inputs and outputs.

        Args:
            path: ends in .onnx.
            names: as for `stream`; those of a second stage become constants.
            raw: all boxes with all scores, without NMS and top-k.

        Raises:
            UserError: as `stream`; a network without a graph; the package onnx is missing.
        """
        target = Path(path)
        check_onnx_target(target)
        vocabulary = None if names is None else Vocabulary.of(names)
        exported = self._network.exported(vocabulary, every_box=raw)
        exported.save(target)
        return exported.names


def load(
    source: str | Path | None = None,
    *,
    study: str | Path | None = None,
    proposals_weights: str | Path | None = None,
    weights: str | Path | None = None,
    text_encoder: str | Path | None = None,
    embeddings: str | Path | None = None,
    overrides: Sequence[str] = (),
    store: str | Path | None = None,
) -> Model:
    """A model of a finished study, or of checkpoints alone.

    Args:
        source: a study or a weights file, whichever it is.
        study: an experiment's name, whose newest networks are taken, or a folder: a store or an
            artefact in one, whose own lineage is taken.
        proposals_weights: a proposal network's checkpoint, for `weights` of a second stage.
        weights: a second stage's checkpoint, or a closed-set detector's: anything that
            `unidet convert` reads (docs/convert.md). Settings follow from its layout.
        text_encoder: OpenAI's CLIP, to detect any name; not needed for names that the checkpoint
            or `embeddings` hold.
        embeddings: ready embeddings of names, `.npz` (`embeddings`, `names`) or `.npy`.
        overrides: key=value as on the command line, before anything else.
        store: root of the study's store; by default the configuration's.

    Raises:
        UserError: nothing to open, or something that does not fit, in one line.
    """
    from unidet.pipelines.detector import from_study, from_weights

    if source is not None:
        if study is not None or weights is not None:
            raise UserError("load: give a study or weights by name, or one of them first, not both")
        is_file = Path(source).is_file()
        study, weights = (None, source) if is_file else (source, None)
    files = {
        name: Path(path)
        for name, path in {
            "proposals_weights": proposals_weights,
            "weights": weights,
            "text_encoder": text_encoder,
            "embeddings": embeddings,
        }.items()
        if path is not None
    }
    if files and study is not None:
        raise UserError(f"{next(iter(files))}: a study has its own; give a study or weights")
    if files:
        return Model(from_weights.open_network(files, overrides))
    return Model(from_study.open_network(study, store, overrides))


def _pixels(picture: Picture) -> np.ndarray:
    """(H, W, 3) uint8 RGB in the image's own frame; UserError where it has too many pixels."""
    decoded, source = _decoded(picture, WHOLE_PIXELS)
    check_picture(decoded.pixels, "image")
    if decoded.pixels.shape[:2] != decoded.size_hw:
        raise UserError(f"{source}: has more than {WHOLE_PIXELS:,} pixels; cut it into several")
    return decoded.pixels


def _decoded(picture: Picture, most: int) -> tuple[Decoded, Path | np.ndarray]:
    """The image, downscaled to a maximum number of pixels if it is a file, and its source for
    drawing.
    """
    if isinstance(picture, str | Path):
        return read_picture(Path(picture), most), Path(picture)
    if isinstance(picture, Image.Image):
        name = getattr(picture, "filename", "") or "image"
        with faults_named(Path(name), "open it again"):  # Pillow reads pixels when first asked
            picture = image_pixels(picture, name, most)
    is_picture = getattr(picture, "ndim", 0) == 3  # whoever takes the pixels says what is none
    height, width = picture.shape[:2] if is_picture else (0, 0)
    return Decoded(picture, (height, width)), picture
