"""Batches of images as a network takes them, for training and for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from unidet.config.images import ChangeConfig, ImageConfig, KeepRatioImages
from unidet.config.training import SamplerConfig, TrainingConfig

if TYPE_CHECKING:
    from unidet.data.augmentation import Augmentation
    from unidet.data.loader import Loader, Source
    from unidet.data.repeats import Repeats
    from unidet.data.transforms import Transform
    from unidet.data.views import Change

CONCATENATION = SamplerConfig()


def counted_in_steps(
    training: TrainingConfig, sources: Sequence[Source], sampler: SamplerConfig = CONCATENATION
) -> TrainingConfig:
    """The run with its length in steps; an epoch is as long as the sampler's."""
    from unidet.data.sampler import Sampler
    from unidet.training.schedule import in_steps

    splits = [source.split for source in sources]
    epoch = Sampler(splits, training.batch_size, 0, repeats_of(sampler))
    return in_steps(training, epoch.steps_per_epoch)


def training_batches(
    sources: Sequence[Source],
    images: ImageConfig,
    training: TrainingConfig,
    seed: int,
    share: tuple[int, int] = (0, 1),
    sampler: SamplerConfig = CONCATENATION,
) -> Callable[[int], Loader]:
    """Makes the loader of a training run's batches, or of one process's share of them, from a
    given step on."""
    from unidet.data.loader import Loader

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
            repeats=repeats_of(sampler),
        )

    return batches_from


def repeats_of(sampler: SamplerConfig) -> Repeats:
    """How often an epoch shows each image, as configured."""
    from unidet.data import repeats

    if sampler.kind == "repeat_factor":
        return partial(repeats.by_rarity, threshold=sampler.threshold)
    return repeats.balanced if sampler.kind == "balanced" else repeats.once


def _training_transform(images: ImageConfig) -> Transform:
    """Changes, multi-scale resize, flips and augmentation, as configured."""
    from unidet.data.transforms import KeepRatio, Stretch, Transform

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


def _change(settings: ChangeConfig) -> Change:
    from unidet.data.views import IoUCrop, PhotometricDistortion, ResizedCrop, ZoomOut

    kinds: dict[str, Callable[..., Change]] = {
        "photometric": PhotometricDistortion,
        "zoom_out": ZoomOut,
        "iou_crop": IoUCrop,
        "resized_crop": ResizedCrop,
    }
    values = asdict(settings)
    return kinds[values.pop("kind")](**values)


def _augmentation(images: ImageConfig) -> Augmentation | None:
    from unidet.data.augmentation import Augmentation

    if isinstance(images, KeepRatioImages) or images.augmentation is None:
        return None
    return Augmentation(**asdict(images.augmentation))


def evaluation_transform(images: ImageConfig) -> Transform:
    """One size, no changes, no flips."""
    from unidet.data.transforms import KeepRatio, Stretch, Transform

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
