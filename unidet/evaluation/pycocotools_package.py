"""pycocotools itself, with its printing silenced, for comparison."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from unidet.errors import UserError

# COCOeval.stats, under the keys of `coco_metrics`
KEYS = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR@1", "AR@10", "AR@100", "ARs", "ARm", "ARl"),
)
FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


def pycocotools_metrics(gt_path: Path, results_path: Path) -> dict[str, float]:
    """pycocotools' own bounding-box metrics under the keys of `coco_metrics`.

    Raises:
        UserError: pycocotools does not take one of the files.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(gt_path))
            evaluation = COCOeval(truth, truth.loadRes(str(results_path)), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
    except FAULTS as fault:
        raise UserError(
            f"pycocotools cannot evaluate {results_path} against {gt_path} "
            f"({type(fault).__name__}: {fault}); leave out --check-official"
        ) from fault
    return {key: float(value) for key, value in zip(KEYS, evaluation.stats, strict=True)}
