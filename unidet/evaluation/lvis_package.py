"""The lvis package itself, kept alive on current numpy and without OpenGL, for comparison.

The package (0.5.3) uses `np.float`, which numpy 1.24 removed, and imports OpenCV, which needs a
system library, only to draw. Both are supplied while it runs and taken away again; the
installation is not touched.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError

REQUIRED = {
    "categories": ("frequency",),
    "images": ("neg_category_ids", "not_exhaustive_category_ids"),
    "annotations": ("area",),
}


def lvis_package_metrics(gt_path: Path, results_path: Path) -> dict[str, float]:
    """The lvis package's own bounding-box metrics under the keys of `lvis_metrics`.

    Raises:
        UserError: the package is not installed, or does not take one of the files.
    """
    with _supplied():
        try:
            lvis = importlib.import_module("lvis")
        except ModuleNotFoundError as fault:
            raise UserError(
                f"the official check needs the package {fault.name}: pip install lvis==0.5.3"
            ) from None
        try:
            ground_truth = lvis.LVIS(str(gt_path))
            _check(gt_path, ground_truth.dataset)
            evaluation = lvis.LVISEval(ground_truth, str(results_path), "bbox")
            evaluation.run()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as fault:
            raise UserError(
                f"the lvis package cannot evaluate {results_path} against {gt_path} "
                f"({type(fault).__name__}: {fault}); leave out --check-official"
            ) from fault
    return {key: float(value) for key, value in evaluation.get_results().items()}


def _check(path: Path, dataset: Mapping[str, list[dict[str, Any]]]) -> None:
    """What the package takes for granted, and our reader does not."""
    for part, names in REQUIRED.items():
        for name in names:
            lacking = sum(name not in entry for entry in dataset[part])
            if lacking:
                raise UserError(
                    f"{path}: {name!r} is missing in {lacking} of its {part}, which the lvis "
                    f"package needs; add it, or leave out --check-official"
                )


@contextlib.contextmanager
def _supplied() -> Iterator[None]:
    """Supplies `np.float` and, where OpenCV cannot be loaded, an empty module in its place."""
    lacks_float = "float" not in vars(np)
    before = set(sys.modules)
    if lacks_float:
        np.float = float  # type: ignore[attr-defined]
    lacks_cv2 = not _can_import("cv2")
    shadowed = {name: sys.modules[name] for name in ("cv2",) if name in sys.modules}
    if lacks_cv2:
        sys.modules["cv2"] = types.ModuleType("cv2")
    try:
        yield
    finally:
        if lacks_float:
            del np.float  # type: ignore[attr-defined]
        if lacks_cv2:
            del sys.modules["cv2"]
            sys.modules.update(shadowed)
            # what was imported meanwhile holds the empty module
            for name in set(sys.modules) - before:
                if name.split(".")[0] == "lvis":
                    del sys.modules[name]


def _can_import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True
