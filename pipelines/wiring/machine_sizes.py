"""Sizes of images, batches and trainings that suit the data and this machine.

They are a starting point, not optimal: some ten minutes of training on a laptop.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from unidet.backend.gpu import NoCuda, find_cuda
from unidet.backend.toolchain import default_threads
from unidet.errors import UserError
from unidet.pipelines.wiring.imagenet_package import weights_file

SMALLEST, LARGEST, LARGEST_ON_GPU = 192, 320, 640
"""Sides of the square that NanoDet-Plus sees, in pixels."""
_STRIDE = 32
_MINUTES = 10
_SECONDS_A_MEGAPIXEL = 7.0
"""Of one core, in a training step of NanoDet-Plus-m: measured 1.2 s for 416 x 416."""
_SECONDS_WITH_TEXT = 0.9
"""Of one core, for an image in a step of either network of `experiment=bench`."""
_STEPS_ON_GPU, _BATCH_ON_GPU = 2000, 32
_BATCH, _STEPS = 8, (100, 2000)
_GIB_A_MEGAPIXEL = 2.0


@dataclass(frozen=True)
class Machine:
    """`memory_gib`: of the whole machine."""

    has_gpu: bool
    cores: int
    memory_gib: float
    has_imagenet_weights: bool

    @property
    def description(self) -> str:
        return "this GPU" if self.has_gpu else f"{self.cores} cores"


@dataclass(frozen=True)
class Sizes:
    """`minutes`: how long the training may take on the machine, roughly."""

    side: int
    batch: int
    steps: int
    minutes: int


def this_machine() -> Machine:
    """What a study has here."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(_has_gpu(), default_threads(), memory, _has_imagenet_weights())


def sizes_for(pictures: np.ndarray, knows_text: bool, machine: Machine) -> Sizes:
    """Sizes for images (N, 2) of these widths and heights."""
    long_side = float(np.median(pictures.max(axis=1)))
    largest = LARGEST_ON_GPU if machine.has_gpu else LARGEST
    side = int(np.clip(-(-long_side // _STRIDE) * _STRIDE, SMALLEST, largest))
    megapixels = side**2 / 1e6
    fits = machine.memory_gib / 2 / (_GIB_A_MEGAPIXEL * megapixels)
    most = min(len(pictures), fits, _BATCH_ON_GPU if machine.has_gpu else _BATCH)
    batch = max(int(most), 1)
    if machine.has_gpu:
        return Sizes(side, batch, _STEPS_ON_GPU, _MINUTES)
    trainings = 2 if knows_text else 1
    seconds = _SECONDS_WITH_TEXT if knows_text else _SECONDS_A_MEGAPIXEL * megapixels
    a_step = trainings * batch * seconds / machine.cores
    steps = int(np.clip(round(60 * _MINUTES / a_step, -1), *_STEPS))
    return Sizes(side, batch, steps, max(round(steps * a_step / 60), 1))


def _has_gpu() -> bool:
    try:
        find_cuda()
    except NoCuda:
        return False
    return True


def _has_imagenet_weights() -> bool:
    try:
        weights_file()
    except UserError:
        return False
    return True
