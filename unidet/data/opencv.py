"""OpenCV, loaded when pixels are first worked on."""

from __future__ import annotations

from functools import cache
from types import ModuleType


@cache
def load_opencv() -> ModuleType | None:
    """The module `cv2`; None where it cannot be loaded: without libGL, or built for another numpy.

    It works in the calling thread alone, as the loader's threads are there already.
    """
    try:
        import cv2
    except (ImportError, AttributeError):
        return None
    cv2.setNumThreads(0)
    return cv2
