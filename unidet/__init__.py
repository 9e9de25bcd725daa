"""Open-world object detection studies in pure Jittor (UniDetector, CVPR 2023)."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`__version__`, read off the installation when it is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("unidet")
    raise AttributeError(f"module 'unidet' has no attribute {name!r}")
