"""The files of a `data` artefact, and opening it.

index.npz            images and boxes, see `data.index`
digests.npy          (N, 32) uint8, sha256 of each image's content
vocabulary.json      id, name and synonyms of every category
ground_truth.json    of an evaluation set, what it is evaluated with
images.npy           packed images, where no folder holds them
report.json          of a set in folders, what was read and left out
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.study_sets import TRAINING, VOCABULARY
from unidet.store.arrays import load_array
from unidet.store.stored_json import read_json, text, whole

if TYPE_CHECKING:
    import numpy as np

    from unidet.data.images import Images
    from unidet.records import Category, Split

INDEX, DIGESTS, GROUND_TRUTH, PACKED = (
    *("index.npz", "digests.npy", "ground_truth.json", "images.npy"),
)


@dataclass(frozen=True)
class ImageSet:
    """A dataset opened: its index and its images; `folder` is its artefact."""

    name: str
    split: Split
    images: Images
    folder: Path

    @cached_property
    def digests(self) -> np.ndarray:
        """(N, 32) uint8: sha256 of each image's content."""
        return _read_digests(self.folder, self.split)

    def digest_of(self, row: int) -> bytes:
        """The sha256 of an image's content."""
        return self.digests[row].tobytes()

    def caption(self, row: int) -> str:
        """The name of an image in a report, without paths of this machine."""
        return self.split.file_names[row] or f"{self.name}, image {row}"

    @property
    def ground_truth(self) -> Path:
        """The ground truth file of an evaluation set, unchanged."""
        return self.folder / GROUND_TRUTH


def save_image_set(split: Split, digests: np.ndarray, folder: Path) -> None:
    """Write a set's index, digests and vocabulary to its artefact."""
    import numpy as np

    from unidet.data.index import save_split

    save_split(split, folder / INDEX)
    np.save(folder / DIGESTS, digests)
    keys = ("id", "name", "synonyms")
    categories = [{key: asdict(c)[key] for key in keys} for c in split.categories]
    (folder / VOCABULARY).write_text(json.dumps(categories, ensure_ascii=False), "utf-8")


def open_image_set(job: Job, label: str = "data") -> ImageSet:
    """The dataset of a job's input `label`."""
    node = Node.parse(label)
    name = node.name if node is not None and node.name else job.name
    return image_set_at(job.inputs[label], job.images.get(label), name)


def image_set_at(folder: Path, images: Path | None, name: str) -> ImageSet:
    """The dataset of a `data` artefact; `images` is the folder of its image files, if any."""
    from unidet.data.images import FolderImages, PackedImages
    from unidet.data.index import load_split

    name = name.removeprefix(TRAINING)
    split = load_split(folder / INDEX, name)
    source: Images = (
        PackedImages(folder / PACKED)
        if images is None
        else FolderImages(images, split.file_names, _read_digests(folder, split))
    )
    return ImageSet(name, split, source, folder)


def _read_digests(folder: Path, split: Split) -> np.ndarray:
    """(N, 32) uint8 of a set's images; Malformed where there are others."""
    return load_array(folder / DIGESTS, "u", (len(split.image_ids), 32))


def open_training_sets(job: Job) -> list[ImageSet]:
    """The training sets that a job takes, in the order of their dataset ids."""
    return [open_image_set(job, label) for label in job.inputs if is_training(label)]


def read_vocabulary(folder: Path) -> list[Category]:
    """The categories of a `data` artefact, by id, without counts."""
    from unidet.records import Category

    return read_json(
        folder / VOCABULARY,
        lambda entries: [
            Category(
                whole(entry["id"]),
                text(entry["name"]),
                synonyms=tuple(map(text, entry["synonyms"])),
            )
            for entry in entries
        ],
    )


def is_training(label: str) -> bool:
    """Whether a job calls a training set's artefact so."""
    return label.startswith(f"data[{TRAINING}")
