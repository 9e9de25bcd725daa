"""The `data` artefact from the inside: what lies where, and how a stage opens it.

manifest.json                     what there is, and what was read
training/NAME/index.npz           one training dataset [images.npy beside it: packed images]
images/SET/index.npz              images that networks run over for evaluation [images.npy]
evaluation/NAME/index.npz         boxes that are judged, rows.npy (rows of its image set),
                                  ground_truth.json
clip/…                            the toy world's captioned crops
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.data import Data
from unidet.config.images import ChangeConfig, ImageConfig, KeepRatioImages
from unidet.config.training import TrainingConfig
from unidet.data import views
from unidet.data.augmentation import Augmentation
from unidet.data.images import FolderImages, Images, PackedImages
from unidet.data.index import load_split
from unidet.data.loader import Loader, Source
from unidet.data.sampler import Sampler
from unidet.data.transforms import KeepRatio, Stretch, Transform
from unidet.records import Split
from unidet.training.schedule import in_steps

CHANGES: dict[str, Callable[..., views.Change]] = {
    "photometric": views.PhotometricDistortion,
    "zoom_out": views.ZoomOut,
    "iou_crop": views.IoUCrop,
    "resized_crop": views.ResizedCrop,
}


@dataclass(frozen=True)
class ImageSet:
    """Images with their index; `vocabulary` names the label space of a training dataset."""

    name: str
    split: Split
    images: Images
    vocabulary: str = ""


@dataclass(frozen=True)
class Judged:
    """An evaluation dataset: its index, its rows within an image set, its ground truth."""

    name: str
    style: str
    vocabulary: str
    image_set: str
    split: Split
    rows: np.ndarray
    ground_truth: Path


@dataclass(frozen=True)
class Datasets:
    """Opens the parts of a `data` artefact at `folder`."""

    folder: Path
    config: Data

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "manifest.json").read_text())

    def training(self) -> list[ImageSet]:
        """The training datasets in order of their ids."""
        return [
            self._open(Path("training") / entry["name"], entry)
            for entry in self.manifest["training"]
        ]

    def image_sets(self) -> list[ImageSet]:
        """The images that networks run over for evaluation."""
        return [
            self._open(Path("images") / entry["name"], entry) for entry in self.manifest["images"]
        ]

    def judged(self) -> list[Judged]:
        """The evaluation datasets, the main one first."""
        return [self._judged(entry) for entry in self.manifest["evaluation"]]

    def vocabularies(self) -> dict[str, list[str]]:
        """Every label space: its names by category id."""
        found = {item.vocabulary: item.split for item in self.training()}
        found |= {item.vocabulary: item.split for item in self.judged()}
        return {name: [c.name for c in split.categories] for name, split in found.items()}

    def _open(self, place: Path, entry: dict[str, Any]) -> ImageSet:
        folder = self.folder / place
        split = load_split(folder / "index.npz")
        packed = folder / "images.npy"
        images: Images = (
            PackedImages(packed)
            if packed.exists()
            else FolderImages(Path(self.config.root) / entry["folder"], split.file_names)
        )
        return ImageSet(entry["name"], split, images, entry.get("vocabulary", ""))

    def _judged(self, entry: dict[str, Any]) -> Judged:
        folder = self.folder / "evaluation" / entry["name"]
        return Judged(
            name=entry["name"],
            style=entry["style"],
            vocabulary=entry["vocabulary"],
            image_set=entry["image_set"],
            split=load_split(folder / "index.npz"),
            rows=np.load(folder / "rows.npy"),
            ground_truth=folder / "ground_truth.json",
        )


def counted_in_steps(training: TrainingConfig, sources: Sequence[Source]) -> TrainingConfig:
    """The run with its length in steps; an epoch is as long as the sampler's."""
    sampler = Sampler([source.split for source in sources], training.batch_size, seed=0)
    return in_steps(training, sampler.steps_per_epoch)


def training_batches(
    sources: Sequence[Source],
    images: ImageConfig,
    training: TrainingConfig,
    seed: int,
    share: tuple[int, int] = (0, 1),
) -> Callable[[int], Loader]:
    """Makes the loader of a training run's batches, or of one process's share of them, from a
    given step on."""

    def batches_from(step: int) -> Loader:
        return Loader(
            sources,
            training.batch_size,
            training.steps,
            seed,
            _training_transform(images),
            start_step=step,
            threads=training.loader_threads,
            share=share,
        )

    return batches_from


def _training_transform(images: ImageConfig) -> Transform:
    """Changes, multi-scale resize, flips and augmentation, as configured."""
    smooth = images.interpolation == "pillow"
    resize = (
        KeepRatio(images.short_side, images.long_side, images.short_step, truncate=smooth)
        if isinstance(images, KeepRatioImages)
        else Stretch(tuple((side, side) for side in images.sides))
    )
    return Transform(
        resize,
        images.mean,
        images.std,
        images.horizontal_flip,
        images.vertical_flip,
        images.divisor,
        images.channels,
        _augmentation(images),
        smooth,
        tuple(map(_change, images.before_resize)),
    )


def _change(settings: ChangeConfig) -> views.Change:
    values = asdict(settings)
    return CHANGES[values.pop("kind")](**values)


def _augmentation(images: ImageConfig) -> Augmentation | None:
    if isinstance(images, KeepRatioImages) or images.augmentation is None:
        return None
    return Augmentation(**asdict(images.augmentation))


def test_transform(images: ImageConfig) -> Transform:
    """One size, no changes, no flips."""
    smooth = images.interpolation == "pillow"
    resize = (
        KeepRatio((images.test_short_side,) * 2, images.test_long_side, truncate=smooth)
        if isinstance(images, KeepRatioImages)
        else Stretch(((images.test_side, images.test_side),))
    )
    return Transform(
        resize,
        images.mean,
        images.std,
        divisor=images.divisor,
        channels=images.channels,
        smooth=smooth,
    )
