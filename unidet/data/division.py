"""The train/val split of the user's data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from unidet.errors import UserError
from unidet.formats.labels.coco import Document
from unidet.formats.labels.records import TRAIN, VAL


def divide(
    document: Document, *, seed: int, fraction: float, digest_of: Callable[[str], str], place: Path
) -> dict[str, Document]:
    """Split a document into a training and an evaluation part.

    The split depends only on the seed and the content of the images. Copies of an image stay
    together; as far as its images allow, a name has boxes in both parts. The only image of a
    name is for training: its AP without any would be 0.

    Args:
        fraction: of the annotated images for evaluation, one at least; fewer where every name is
            to keep an image for training.
        digest_of: sha256 of an image's file, by its name.
        place: where messages say that the document is from.

    Raises:
        UserError: there are fewer than two different annotated images.
    """
    categories: dict[int, set[int]] = {}
    for box in document["annotations"]:
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
    """At most `count` of the images, by rank, for evaluation: first one for each category, rare
    ones first, then the lowest ranks. None is the last that training has of a category; only where
    each image is, one is taken, which costs the fewest categories."""
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
    """The images of which `keeps` holds by id, with their annotations."""
    return {
        **document,
        "images": [image for image in document["images"] if keeps(image["id"])],
        "annotations": [box for box in document["annotations"] if keeps(box["image_id"])],
    }
