"""The train/val split of the user's data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from unidet.errors import UserError
from unidet.formats.labels.coco import Document, is_object
from unidet.formats.labels.records import TRAIN, VAL


def divide(
    document: Document, *, seed: int, fraction: float, digest_of: Callable[[str], str], place: Path
) -> dict[str, Document]:
    """Split a document into a training and an evaluation part.

    The split depends only on the seed and the content of the images. Copies of an image are in the
    same part. Each name has boxes in both parts if it has enough images. The only image of a name
    is used for training, because its AP without training would be 0. Crowds and ignored boxes do
    not count, because they are not trained on.

    Args:
        fraction: share of the annotated images for evaluation, at least one image; fewer if names
            need their images for training.
        digest_of: sha256 of an image file by its name.
        place: source of the document, for messages.

    Raises:
        UserError: there are fewer than two different annotated images.
    """
    categories: dict[int, set[int]] = {}
    for box in filter(is_object, document["annotations"]):
        categories.setdefault(box["image_id"], set()).add(box["category_id"])
    groups: dict[str, set[int]] = {}
    copies: dict[str, list[int]] = {}
    for image in document["images"]:
        rank = hashlib.sha256(f"{seed}:{digest_of(image['file_name'])}".encode()).hexdigest()
        copies.setdefault(rank, []).append(image["id"])
        if image["id"] in categories:
            groups.setdefault(rank, set()).update(categories[image["id"]])
    if len(groups) < 2:
        raise UserError(
            f"{place}: {len(groups)} different annotated images are too few to divide into "
            "training and evaluation"
        )
    count = min(max(round(fraction * len(groups)), 1), len(groups) - 1)
    chosen = {number for rank in _chosen(groups, count) for number in copies[rank]}
    return {
        TRAIN: part_of(document, lambda number: number not in chosen),
        VAL: part_of(document, chosen.__contains__),
    }


def _chosen(groups: dict[str, set[int]], count: int) -> set[str]:
    """Choose at most `count` images for evaluation.

    First one image per category, rare categories first, then those of the lowest rank. The last
    training image of a category is not taken. If this excludes all images, the one that costs the
    fewest categories is taken.
    """
    left = Counter(number for categories in groups.values() for number in categories)
    chosen: dict[str, None] = {}
    evaluated: set[int] = set()

    def take(rank: str) -> None:
        chosen[rank] = None
        evaluated.update(groups[rank])
        left.subtract(groups[rank])

    def lost(rank: str) -> int:
        return sum(left[number] == 1 for number in groups[rank])

    def spares(rank: str) -> bool:
        return rank not in chosen and not lost(rank)

    ranks = sorted(groups)
    for number, _ in sorted(left.items(), key=lambda item: (item[1], item[0])):
        rank = next((rank for rank in ranks if number in groups[rank] and spares(rank)), None)
        if rank is not None and number not in evaluated and len(chosen) < count:
            take(rank)
    for rank in ranks:
        if len(chosen) < count and spares(rank):
            take(rank)
    return {*chosen} or {min(ranks, key=lost)}


def part_of(document: Document, keeps: Callable[[int], bool]) -> Document:
    """The images for whose id `keeps` is true, with their annotations."""
    return {
        **document,
        "images": [image for image in document["images"] if keeps(image["id"])],
        "annotations": [box for box in document["annotations"] if keeps(box["image_id"])],
    }
