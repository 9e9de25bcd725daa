"""Sizes of a new study."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.pipelines.wiring.machine_sizes import Machine, Sizes, sizes_for

LAPTOP = Machine(has_gpu=False, cores=4, memory_gib=16, has_imagenet_weights=True)


def sizes(count: int, width: int, height: int, machine: Machine = LAPTOP) -> Sizes:
    return sizes_for(np.full((count, 2), (width, height)), False, machine)


@pytest.mark.parametrize(
    ("width", "height", "side"), [(640, 480, 320), (100, 200, 224), (50, 40, 192), (4000, 10, 320)]
)
def test_the_side_is_that_of_the_pictures_within_bounds(width: int, height: int, side: int) -> None:
    assert sizes(100, width, height).side == side


def test_a_training_takes_ten_minutes() -> None:
    """320 x 320 in batches of 8 on 4 cores: 7 s x 0.1024 x 8 / 4 = 1.4 s a step."""
    assert sizes(100, 640, 480) == Sizes(side=320, batch=8, steps=420, minutes=10)
    slow = Machine(has_gpu=False, cores=1, memory_gib=16, has_imagenet_weights=True)
    assert sizes(100, 640, 480, slow) == Sizes(side=320, batch=8, steps=100, minutes=10)


def test_a_batch_fits_data_and_memory() -> None:
    assert sizes(3, 640, 480).batch == 3
    small = Machine(has_gpu=False, cores=4, memory_gib=1, has_imagenet_weights=True)
    assert sizes(100, 640, 480, small).batch == 2
    gpu = Machine(has_gpu=True, cores=4, memory_gib=64, has_imagenet_weights=True)
    assert sizes(1000, 640, 480, gpu) == Sizes(side=640, batch=32, steps=2000, minutes=10)
