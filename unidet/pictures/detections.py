"""The detections of one image."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unidet.counts import counted
from unidet.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

_SHOWN = 3  # rows that repr shows
_NOTEBOOK_PIXELS = 1_000_000


@dataclass(frozen=True, repr=False)
class Detections:
    """Labelled boxes in one image, by descending score.

    Args:
        boxes_xyxy: (N, 4) float32, corners in pixels of the upright image.
        scores: (N,) float32 in 0..1.
        labels: (N,) int64 indices into `names`.
        names: the C requested categories, or those of the network.
        size_hw: height and width of the upright image in pixels.
        source: the image for `draw` and `crops`: a file, which is read again, or (H, W, 3) uint8
            RGB; None if the image must be passed.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    size_hw: tuple[int, int]
    source: Path | np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        height, width = self.size_hw
        texts = [f"{self.names[label]} {score:.2f}" for _, score, label in self.rows()]
        more = ["…"] if len(texts) > _SHOWN else []
        count = f"{counted(len(self), 'box', 'boxes')} in {width}x{height} pixels"
        content = f": {', '.join(texts[:_SHOWN] + more)}" if texts else ""
        return f"Detections({count}{content})"

    def rows(self) -> Iterator[tuple[list[float], float, int]]:
        """(x1, y1, x2, y2), score and label of each detection, as Python numbers."""
        return zip(
            self.boxes_xyxy.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True
        )

    def take(self, rows: np.ndarray | int) -> Detections:
        """The detections selected by an index array, a mask or one index, in its order."""
        rows = np.atleast_1d(rows)
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
        )

    def resized(self, size_hw: tuple[int, int]) -> Detections:
        """The detections scaled to another image size."""
        if size_hw == self.size_hw:
            return self
        (height, width), (own_height, own_width) = size_hw, self.size_hw
        factors = np.tile([width / own_width, height / own_height], 2)
        boxes = (self.boxes_xyxy * factors).astype(np.float32)
        return replace(self, boxes_xyxy=boxes, size_hw=size_hw)

    # --- tables ------------------------------------------------------------------------------

    def to_coco(
        self, image_id: int = 1, category_ids: np.ndarray | Sequence[int] | None = None
    ) -> list[dict]:
        """Records of a COCO results file: image_id, category_id, bbox (x, y, w, h), score.

        Args:
            category_ids: (C,) ids of the names; by default 1, 2, ….

        Raises:
            UserError: not an id for each name.
        """
        by_name = np.arange(1, len(self.names) + 1)
        numbers = by_name if category_ids is None else np.asarray(category_ids)
        if numbers.shape != by_name.shape:
            raise UserError(
                f"category_ids: must be a list of an id for each of the {len(self.names)} names, "
                f"in their order, got {category_ids!r:.60}"
            )
        return [
            {
                "image_id": image_id,
                "category_id": int(numbers[label]),
                "bbox": [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(score, 6),
            }
            for (x1, y1, x2, y2), score, label in self.rows()
        ]

    def to_pandas(self) -> pd.DataFrame:
        """A row each: name, score, x1, y1, x2, y2, label."""
        import pandas as pd

        columns = dict(zip(("x1", "y1", "x2", "y2"), self.boxes_xyxy.T, strict=True))
        names = np.array([self.names[label] for label in self.labels], object)
        return pd.DataFrame({"name": names, "score": self.scores, **columns, "label": self.labels})

    def to_supervision(self) -> Any:
        """A `supervision.Detections`, with the names as its `class_name` data.

        Raises:
            UserError: the package supervision is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            if error.name != "supervision":
                raise
            raise UserError("to_supervision needs: pip install supervision") from None
        return supervision.Detections(
            xyxy=self.boxes_xyxy,
            confidence=self.scores,
            class_id=self.labels,
            data={"class_name": np.array([self.names[label] for label in self.labels], str)},
        )

    # --- images ----------------------------------------------------------------------------

    def draw(self, image: np.ndarray | None = None) -> Image.Image:
        """The image with labelled boxes; a category always has the same colour.

        Args:
            image: (H, W, 3) uint8 RGB of any size; by default `source`.

        Raises:
            UserError: there is no image, or it can no longer be read.
        """
        from unidet.report.draw import draw_boxes

        pixels = self._pixels(image)
        height, width, _ = pixels.shape
        own = self.resized((height, width))
        colours = _colours(self.names)
        return draw_boxes(
            pixels,
            own.boxes_xyxy,
            [f"{self.names[label]} {score:.2f}" for _, score, label in self.rows()],
            colours=[colours[label] for label in self.labels],
            enlarge=False,
        )

    def crops(self, image: np.ndarray | None = None) -> list[np.ndarray]:
        """(h, w, 3) uint8 RGB of each box, at least one pixel; arguments as of `draw`."""
        pixels = self._pixels(image)
        height, width, _ = pixels.shape
        crops = []
        for x1, y1, x2, y2 in self.resized((height, width)).boxes_xyxy:
            left, top = (int(np.clip(v, 0, side - 1)) for v, side in ((x1, width), (y1, height)))
            right = int(np.clip(np.ceil(x2), left + 1, width))
            bottom = int(np.clip(np.ceil(y2), top + 1, height))
            crops.append(pixels[top:bottom, left:right])
        return crops

    def _repr_png_(self) -> bytes | None:
        """For notebooks: the drawing, of at most a million pixels."""
        if self.source is None:
            return None
        drawing = self.draw()
        factor = (_NOTEBOOK_PIXELS / (drawing.width * drawing.height)) ** 0.5
        if factor < 1:
            drawing.thumbnail((round(drawing.width * factor), round(drawing.height * factor)))
        content = io.BytesIO()
        drawing.save(content, "PNG")
        return content.getvalue()

    def _pixels(self, image: np.ndarray | None) -> np.ndarray:
        source = self.source if image is None else image
        if isinstance(source, Path):
            from unidet.pictures.decode import read_picture

            return read_picture(source).pixels
        if source is None:
            raise UserError("these detections are not of a file: pass their image as an array")
        return source


@lru_cache(maxsize=8)
def _colours(names: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """Of a whole vocabulary, once for all images."""
    from unidet.report.colours import colours_of

    return colours_of(names)
