"""Single objects cut out of scenes, from which CLIP learns the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from unidet.data.toy.parallel import Progress, map_chunks
from unidet.data.toy.scenes import WORLD, make_scene, object_count
from unidet.data.toy.world import SPACES, scene_rng
from unidet.store.arrays import load_array, load_arrays, reserve_array, save_arrays

CROP = 64
# Context around the box on each side, as shares of its width or height.
LEAST_CONTEXT, MOST_CONTEXT = -0.05, 0.30


@dataclass(frozen=True)
class Crops:
    """K crops and what they show.

    Attributes:
        pixels: (K, 64, 64, 3) uint8 RGB, mapped into memory.
        attributes: (K, 3) int64 shape, colour, texture.
        box_sizes: (K,) float32, longer side of the object's box in the scene, pixels.
    """

    pixels: np.ndarray
    attributes: np.ndarray
    box_sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)


def make_crops(
    name: str,
    folder: Path,
    *,
    scenes: int,
    seed: int,
    processes: int = 1,
    progress: Progress | None = None,
) -> Crops:
    """Cut every object out of the scenes of clip_train or clip_test, into an existing folder.

    Attributes are drawn evenly from all combinations. The cut is stretched to a square, as
    RoIAlign does it. Writes `crops.npy` and `columns.npz`; `load_crops` reads them.
    """
    counts = [object_count(scene_rng(name, seed, index)) for index in range(scenes)]
    firsts = np.concatenate([[0], np.cumsum(counts)])
    path = folder / "crops.npy"
    reserve_array(path, np.uint8, (int(firsts[-1]), CROP, CROP, 3))
    work = partial(_cut_scenes, name, seed, path, firsts)
    columns = list(map_chunks(work, scenes, processes, progress))
    arrays = {
        "attributes": np.concatenate([attributes for attributes, _ in columns]),
        "box_sizes": np.concatenate([sizes for _, sizes in columns]),
    }
    save_arrays(folder / "columns.npz", arrays)
    return load_crops(folder)


def load_crops(folder: Path) -> Crops:
    """What `make_crops` wrote."""
    pixels = load_array(folder / "crops.npy", "u", (None, CROP, CROP, 3), mapped=True)
    kinds = {"attributes": ("i", (len(pixels), 3)), "box_sizes": ("f", (len(pixels),))}
    return Crops(pixels, **load_arrays(folder / "columns.npz", kinds))


def _cut_scenes(
    name: str, seed: int, path: Path, firsts: np.ndarray, rows: range
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Write the crops of some scenes; give back their attributes and box sizes."""
    pixels = np.load(path, mmap_mode="r+")
    columns = []
    for row in rows:
        rng = scene_rng(name, seed, row)
        scene = make_scene(rng, SPACES[name])
        boxes = np.array([item.box for item in scene.objects])
        pixels[firsts[row] : firsts[row + 1]] = _cut(scene.image, boxes, rng)
        attributes = np.array([item.attributes for item in scene.objects])
        columns.append((attributes, (boxes[:, 2:] - boxes[:, :2]).max(axis=1).astype(np.float32)))
    pixels.flush()
    return columns


def _cut(image: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> Sequence[np.ndarray]:
    """(64, 64, 3) of every box with random context, clipped to the image."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    context = rng.uniform(LEAST_CONTEXT, MOST_CONTEXT, boxes.shape) * sides
    windows = np.clip(boxes + context * (-1, -1, 1, 1), 0, WORLD)
    picture = Image.fromarray(image)
    return [
        np.asarray(
            picture.resize((CROP, CROP), Image.Resampling.BILINEAR, box=tuple(window.tolist()))
        )
        for window in windows
    ]
