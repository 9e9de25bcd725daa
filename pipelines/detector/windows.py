"""Batches images of the same shape through a network while threads prepare the next ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from unidet.errors import UserError
from unidet.pictures.detections import Detections
from unidet.pipelines.detector.network import DetectBatch, Network, Prepared, Shape

BATCH_PIXELS = 8 * 416 * 416
"""Of all images of a batch together, as the network sees them; a larger one goes alone."""
BATCH_IMAGES = 8
THREADS = 2


@dataclass(frozen=True)
class _Waiting:
    """An image being prepared."""

    shape: Shape
    picture: Future[Prepared]

    @property
    def pixels(self) -> int:
        return max(height * width for height, width in self.shape)


def batch_by_batch(
    images: Iterable[np.ndarray], network: Network, detect: DetectBatch
) -> Iterator[Detections]:
    """The detections of each image, in order.

    Images are read in windows. Those of a window with the same shapes are batched; meanwhile
    threads read and prepare the next window. A single image needs none.
    """
    images = iter(images)
    first = list(islice(images, 2))
    if len(first) < 2:
        for pixels in first:
            check_picture(pixels, "image 0")
            yield from detect([network.prepare(pixels)])
        return
    images = chain(first, images)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="unidet-pictures") as pool:
        windows = _windows(images, network, pool)
        window = next(windows, None)
        while window is not None:
            following = next(windows, None)
            yield from _detected(window, detect)
            window = following


def _windows(
    images: Iterable[np.ndarray], network: Network, pool: ThreadPoolExecutor
) -> Iterator[list[_Waiting]]:
    """Successive windows of one batch of images."""
    window: list[_Waiting] = []
    for number, pixels in enumerate(images):
        check_picture(pixels, f"image {number}")
        shape = network.shape(*pixels.shape[:2])
        waiting = _Waiting(shape, pool.submit(network.prepare, pixels))
        if window and sum(other.pixels for other in window) + waiting.pixels > BATCH_PIXELS:
            yield window
            window = []
        window.append(waiting)
        if len(window) == BATCH_IMAGES:
            yield window
            window = []
    if window:
        yield window


def _detected(window: list[_Waiting], detect: DetectBatch) -> list[Detections]:
    by_shape: dict[Shape, list[int]] = {}
    for place, waiting in enumerate(window):
        by_shape.setdefault(waiting.shape, []).append(place)
    detections: dict[int, Detections] = {}
    for places in by_shape.values():
        batch = [window[place].picture.result() for place in places]
        detections.update(zip(places, detect(batch), strict=True))
    return [detections[place] for place in range(len(window))]


def check_picture(pixels: object, name: str) -> None:
    """UserError where this is not (H, W, 3) uint8."""
    is_picture = (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.ndim == 3
        and pixels.shape[2] == 3
        and pixels.size > 0
    )
    if not is_picture:
        form = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels)
        raise UserError(f"{name}: is {form}, must be (height, width, 3) uint8 RGB")
