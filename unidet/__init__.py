"""Open-world object detection studies in pure Jittor (UniDetector, CVPR 2023).

`load(…)` opens a model that detects, `open_study(…)` what a study has left; `Detections` are what
is found in an image. Nothing is imported before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unidet.pictures.detections import Detections as Detections
    from unidet.pipelines.detector.model import load as load
    from unidet.pipelines.detector.opened_study import open_study as open_study

_PLACES = {
    "load": "unidet.pipelines.detector.model",
    "open_study": "unidet.pipelines.detector.opened_study",
    "Detections": "unidet.pictures.detections",
}


def __getattr__(name: str) -> Any:
    """The public names, and `__version__`, read off the installation when it is asked for."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("unidet")
    raise AttributeError(f"module 'unidet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES, "__version__"])
