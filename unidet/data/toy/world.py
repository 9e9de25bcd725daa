"""The toy datasets on disk: detection splits, and captioned crops for CLIP.

Everything follows from (seed, split, index of the scene): neither the number of scenes nor that of
processes changes a scene.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from unidet.data.index import save_split
from unidet.data.toy.ground_truth import (
    Verified,
    frequency,
    labels_of,
    lvis_json,
    rounded_box,
    verify_all,
    verify_federated,
)
from unidet.data.toy.parallel import Progress, map_chunks
from unidet.data.toy.scenes import WORLD, Object, Scene, make_scene
from unidet.data.toy.vocabulary import label_space
from unidet.records import Category, Split
from unidet.store.arrays import reserve_array, save_arrays

# Label space of each split of scenes, None where things have captions instead of labels.
SPACES: dict[str, str | None] = {
    "train_a": "a",
    "train_b": "b",
    "val": "val",
    "dev": "val",
    "clip_train": None,
    "clip_test": None,
    "train_new": "new",
}
EVALUATION = ("val", "dev")
_CODES = {name: code for code, name in enumerate(SPACES, 1)}
# Fourth word of the seed, so that verifying draws from a generator of its own.
_VERIFYING = 1


def scene_rng(split: str, seed: int, index: int) -> np.random.Generator:
    """The generator from which scene `index` of a split is drawn."""
    return np.random.default_rng((seed, _CODES[split], index))


def scene_at(split: str, seed: int, index: int, size: int = WORLD) -> Scene:
    """One scene of a split; another `size` (side in pixels) renders the same scene larger."""
    return make_scene(scene_rng(split, seed, index), SPACES[split], size)


def make_split(
    name: str,
    folder: Path,
    *,
    scenes: int,
    seed: int,
    processes: int = 1,
    progress: Progress | None = None,
) -> Split:
    """Make one of train_a, train_b, train_new, val, dev in an existing folder.

    Writes `images.npy` (scenes, 192, 192, 3) uint8 RGB; `index.npz`, the split; `objects.npz`, all
    objects, named or not (see `_save_objects`); and for val and dev `ground_truth.json` (LVIS v1,
    federated) and `ground_truth_exhaustive.json` (every name verified in every image).

    Returns:
        The split with the labels of its own label space; objects without a name have no box. For
        val and dev it says what `ground_truth.json` says.
    """
    images = folder / "images.npy"
    reserve_array(images, np.uint8, (scenes, WORLD, WORLD, 3))
    work = partial(_paint_scenes, name, seed, images)
    painted = list(map_chunks(work, scenes, processes, progress))
    verified = [_verify(name, seed, row, objects) for row, objects in enumerate(painted)]
    split = _index(name, painted, verified)
    save_split(split, folder / "index.npz")
    _save_objects(folder / "objects.npz", painted)
    if name in EVALUATION:
        _save_ground_truth(name, folder, painted, verified)
    return split


def _paint_scenes(name: str, seed: int, images: Path, rows: range) -> list[tuple[Object, ...]]:
    """Write the images of some scenes into the packed file; give back their objects."""
    pixels = np.load(images, mmap_mode="r+")
    objects = []
    for row in rows:
        scene = scene_at(name, seed, row)
        pixels[row] = scene.image
        objects.append(scene.objects)
    pixels.flush()
    return objects


def _verify(name: str, seed: int, row: int, objects: Sequence[Object]) -> Verified:
    space = label_space(SPACES[name] or "")
    labels = labels_of(objects, space)
    if name not in EVALUATION:
        return verify_all(labels, len(space.names))
    rng = np.random.default_rng((seed, _CODES[name], row, _VERIFYING))
    return verify_federated(labels, len(space.names), rng)


def _index(name: str, scenes: Sequence[Sequence[Object]], verified: Sequence[Verified]) -> Split:
    boxed = [
        (row, item, label)
        for row, (objects, known) in enumerate(zip(scenes, verified, strict=True))
        for item, label in zip(objects, known.labels, strict=True)
        if label >= 0
    ]
    box_image = np.array([row for row, _, _ in boxed], np.int32)
    labels = np.array([label for _, _, label in boxed], np.int32)
    return Split(
        name=name,
        image_ids=np.arange(1, len(scenes) + 1),
        file_names=("",) * len(scenes),
        widths=np.full(len(scenes), WORLD, np.int32),
        heights=np.full(len(scenes), WORLD, np.int32),
        box_image=box_image,
        boxes_xyxy=_boxes([item for _, item, _ in boxed]),
        labels=labels,
        is_crowd=np.zeros(len(boxed), bool),
        categories=_categories(name, box_image, labels),
    )


def _boxes(items: Sequence[Object]) -> np.ndarray:
    """(K, 4) float32 xyxy, as a reader of the JSON finds them."""
    xywh = np.array([rounded_box(item) for item in items]).reshape(-1, 4)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)


def _categories(name: str, box_image: np.ndarray, labels: np.ndarray) -> tuple[Category, ...]:
    space = label_space(SPACES[name] or "")
    instances = Counter(labels.tolist())
    images = Counter(
        label for label, _ in set(zip(labels.tolist(), box_image.tolist(), strict=True))
    )
    return tuple(
        Category(
            id=label + 1,
            name=word,
            frequency=frequency(images[label]) if name in EVALUATION else None,
            image_count=images[label],
            instance_count=instances[label],
        )
        for label, word in enumerate(space.names)
    )


def _save_objects(path: Path, scenes: Sequence[Sequence[Object]]) -> None:
    """All K objects, farthest first in each scene: box_image (K,) int32, attributes (K, 3) int64,
    boxes_xyxy (K, 4) float32 and visible (K,) float32."""
    items = [item for objects in scenes for item in objects]
    columns = {
        "box_image": np.repeat(np.arange(len(scenes), dtype=np.int32), [len(s) for s in scenes]),
        "attributes": np.array([item.attributes for item in items]),
        "boxes_xyxy": _boxes(items),
        "visible": np.array([item.visible for item in items], np.float32),
    }
    save_arrays(path, columns)


def _save_ground_truth(
    name: str,
    folder: Path,
    scenes: Sequence[Sequence[Object]],
    verified: Sequence[Verified],
) -> None:
    names = len(label_space("val").names)
    federated = lvis_json(name, scenes, lambda row, _: verified[row])
    exhaustive = lvis_json(name, scenes, lambda _, labels: verify_all(labels, names))
    for annotation in exhaustive["annotations"]:
        # All names are verified everywhere: pycocotools can score it, and asks for this.
        annotation["iscrowd"] = 0
    for file, table in (("", federated), ("_exhaustive", exhaustive)):
        text = json.dumps(table, separators=(",", ":"))
        (folder / f"ground_truth{file}.json").write_text(text, encoding="utf-8")
