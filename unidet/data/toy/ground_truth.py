"""What is known about an evaluation split, as LVIS says it and in full.

LVIS v1 (Gupta, Dollár, Girshick 2019, section 2) is federated: per image some names are known to
be present and boxed, some are known to be absent (`neg_category_ids`), the others were never
verified and are not evaluated; where a present name is in `not_exhaustive_category_ids`, some of
its objects may lack a box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unidet.data.toy.scenes import WORLD, Object
from unidet.data.toy.shapes import single_loop
from unidet.data.toy.vocabulary import (
    ANY,
    LabelSpace,
    attributes_of,
    combination_index,
    label_space,
)

# Names per image that are known to be absent; share of the present ones not boxed in full.
NEGATIVES = 12
NOT_EXHAUSTIVE = 0.05
# Images with a name: rare up to, common up to. LVIS has 10 and 100, of 100,000 images.
RARE, COMMON = 14, 50


@dataclass(frozen=True)
class Verified:
    """What is verified about one image, as positions in the label space.

    Attributes:
        labels: per object of the scene, -1 where it has no name or no box.
        absent: names known not to be there.
        partial: names there, of which not every object has a box.
    """

    labels: np.ndarray
    absent: tuple[int, ...]
    partial: tuple[int, ...]


def labels_of(objects: Sequence[Object], space: LabelSpace) -> np.ndarray:
    """(K,) int64: the one name of the space that fits each object, or -1."""
    attributes = np.array([item.attributes for item in objects]).reshape(-1, 3)
    return space.label_of[combination_index(attributes)]


def verify_all(labels: np.ndarray, names: int) -> Verified:
    """Every name is verified in this image, every object boxed."""
    return Verified(labels, _absent(labels, names), ())


def verify_federated(labels: np.ndarray, names: int, rng: np.random.Generator) -> Verified:
    """All present names, a sample of the absent ones, and some present ones not in full.

    Where such a name has several objects in the image, the last one loses its box.
    """
    absent = _absent(labels, names)
    sampled = rng.permutation(len(absent))[:NEGATIVES]
    present = np.unique(labels[labels >= 0])
    partial = present[rng.random(len(present)) < NOT_EXHAUSTIVE]
    labels = labels.copy()
    for name in partial:
        rows = np.flatnonzero(labels == name)
        labels[rows[1:][-1:]] = -1
    return Verified(
        labels, tuple(sorted(absent[i] for i in sampled)), tuple(int(i) for i in partial)
    )


def lvis_json(
    split: str,
    scenes: Sequence[Sequence[Object]],
    verify: Callable[[int, np.ndarray], Verified],
) -> dict[str, Any]:
    """A split of the label space `val` in LVIS v1's JSON; ids count from 1, in order of name.

    Args:
        split: its name, for the images' addresses.
        scenes: the objects of each image.
        verify: image row and its objects' labels to what is verified of it.
    """
    space = label_space("val")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row, objects in enumerate(scenes):
        verified = verify(row, labels_of(objects, space))
        images.append(_image(split, row, verified))
        for item, label in zip(objects, verified.labels, strict=True):
            if label >= 0:
                numbers = {"id": len(annotations) + 1, "image_id": row + 1}
                annotations.append({**numbers, "category_id": int(label) + 1, **_annotation(item)})
    return {
        "info": {"description": f"toy world, {split}", "version": "1"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": _categories(space, annotations),
    }


def frequency(image_count: int) -> str:
    """LVIS's r, c or f of a name that so many images of an evaluation split show."""
    return "r" if image_count <= RARE else "c" if image_count <= COMMON else "f"


def rounded_box(item: Object) -> tuple[float, float, float, float]:
    """x, y, width, height to two decimals, as in the JSON."""
    x1, y1, x2, y2 = np.round(item.box, 2).tolist()
    return x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)


def _absent(labels: np.ndarray, names: int) -> tuple[int, ...]:
    return tuple(np.setdiff1d(np.arange(names), labels).tolist())


def _image(split: str, row: int, verified: Verified) -> dict[str, Any]:
    file_name = f"{row + 1:012d}.png"
    return {
        "id": row + 1,
        "width": WORLD,
        "height": WORLD,
        "file_name": file_name,
        "coco_url": f"toy://{split}/{file_name}",
        "neg_category_ids": [label + 1 for label in verified.absent],
        "not_exhaustive_category_ids": [label + 1 for label in verified.partial],
    }


def _annotation(item: Object) -> dict[str, Any]:
    loop = np.round(single_loop(item.outline), 2)
    return {
        "bbox": list(rounded_box(item)),
        "area": round(item.area, 2),
        "segmentation": [loop.ravel().tolist()],
    }


def _categories(space: LabelSpace, annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    instances = Counter(annotation["category_id"] for annotation in annotations)
    seen = {(annotation["category_id"], annotation["image_id"]) for annotation in annotations}
    images = Counter(category for category, _ in seen)
    return [
        {
            "id": number,
            "name": name,
            "synset": name.replace(" ", "_") + ".n.01",
            "synonyms": [name],
            "def": _definition(name),
            "frequency": frequency(images[number]),
            "image_count": images[number],
            "instance_count": instances[number],
        }
        for number, name in enumerate(space.names, 1)
    ]


def _definition(name: str) -> str:
    _, colour, texture = attributes_of(name)
    left_open = [word for word, value in (("colour", colour), ("texture", texture)) if value == ANY]
    return f"a {name}" + (f" of any {' and '.join(left_open)}" if left_open else "")
