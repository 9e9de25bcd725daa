"""What the training recordings hold, as our records."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unidet.models.matcher import Targets
from unidet.models.rtdetr.denoising import Noise

DRAWS = ("draw0_rand_like", "draw1_randint_like", "draw2_randint_like", "draw3_rand_like")


@pytest.fixture(scope="session")
def recorded_targets() -> Callable[[dict[str, np.ndarray], str], Targets]:
    def targets(recording: dict[str, np.ndarray], step: str) -> Targets:
        return Targets(
            [recording[f"{step}/gt/labels{image}"] for image in (0, 1)],
            [recording[f"{step}/gt/boxes{image}"] for image in (0, 1)],
        )

    return targets


@pytest.fixture(scope="session")
def recorded_noise() -> Callable[[dict[str, np.ndarray], str], Noise]:
    def noise(recording: dict[str, np.ndarray], step: str) -> Noise:
        return Noise(*(recording[f"{step}/dn/{name}"] for name in DRAWS))

    return noise
