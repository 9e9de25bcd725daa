"""Loading of images (decode, resize to 800, flip, normalize, pad), compared with OpenCV.

OpenCV's functions are those that mmcv calls. 512 JPEG files of 640 x 480, two threads in both.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from side_by_side import Row

IMAGES, WIDTH, HEIGHT, THREADS, BATCH = 512, 640, 480, 2, 2
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def pictures(folder: Path) -> list[Path]:
    """JPEG files of smooth shapes with noise, about as large as photographs of this size."""
    place = folder / "loader"
    files = [place / f"{number:04d}.jpg" for number in range(IMAGES)]
    if not files[-1].exists():
        place.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for file in files:
            coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
            smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
            noisy = smooth + rng.normal(0, 12, smooth.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, quality=85)
    return files


def by_unidet(files: list[Path]) -> None:
    from unidet.data.images import FolderImages
    from unidet.data.loader import Loader, Source
    from unidet.data.transforms import KeepRatio, Transform
    from unidet.records import Category, Split

    count = len(files)
    split = Split(
        name="loader",
        image_ids=np.arange(count),
        file_names=tuple(file.name for file in files),
        widths=np.full(count, WIDTH, np.int32),
        heights=np.full(count, HEIGHT, np.int32),
        box_image=np.arange(count, dtype=np.int32),
        boxes_xyxy=np.tile(np.array([[10, 10, 100, 100]], np.float32), (count, 1)),
        labels=np.zeros(count, np.int32),
        is_crowd=np.zeros(count, bool),
        categories=(Category(1, "thing"),),
    )
    transform = Transform(KeepRatio((800, 800), 1333), MEAN, STD, horizontal_flip=0.5)
    source = Source(split, FolderImages(files[0].parent, split.file_names))
    with Loader([source], BATCH, count // BATCH, 0, transform, threads=THREADS) as loader:
        for batch in loader:
            assert batch.images_NCHW.shape[2] == 800


def by_opencv(files: list[Path]) -> None:
    import cv2

    cv2.setNumThreads(0)
    mean, factor = np.array([MEAN]), 1 / np.array([STD])

    def load(row: int) -> np.ndarray:
        image = cv2.imread(str(files[row]))
        image = cv2.resize(image, (1067, 800), interpolation=cv2.INTER_LINEAR)
        if row % 2:
            image = cv2.flip(image, 1)
        image = image.astype(np.float32)
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image)
        cv2.subtract(image, mean, image)
        cv2.multiply(image, factor, image)
        image = cv2.copyMakeBorder(image, 0, 0, 0, 21, cv2.BORDER_CONSTANT, value=0)
        return np.ascontiguousarray(image.transpose(2, 0, 1))

    def batch(first: int) -> np.ndarray:
        return np.stack([load(row) for row in range(first, first + BATCH)])

    with ThreadPoolExecutor(THREADS) as pool:
        for images in pool.map(batch, range(0, len(files), BATCH)):
            assert images.shape[2] == 800


def work(program: str, folder: Path) -> Callable[[], Any]:
    files = pictures(folder)
    run = {"unidet": by_unidet, "OpenCV": by_opencv}[program]
    return lambda: run(files)


ROWS = [
    Row(
        "loader",
        f"{IMAGES} photographs loaded, {THREADS} threads",
        ("unidet", "OpenCV"),
        work,
        goal=1.0,
        quick=True,
    )
]
