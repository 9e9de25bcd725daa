"""Networks whose initial weights follow from the study's seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Built = TypeVar("Built")


def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """What `build` makes with Jittor's random numbers starting from `seed`."""
    import jittor as jt

    jt.set_global_seed(seed)
    return build()
