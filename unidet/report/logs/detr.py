"""Reads `log.txt` of DETR and RT-DETR: one JSON object per epoch, written after its evaluation.

Source: facebookresearch/detr main.py:main and lyuwenyu/RT-DETR src/solver/det_solver.py:fit. Keys
are `train_…` and `test_…`; `test_coco_eval_bbox` has COCO's twelve metrics; `epoch` starts at 0.
"""

from __future__ import annotations

from typing import Any

from unidet.report.logs.log_lines import LogText, json_records, number, require_counts
from unidet.report.logs.rows import Rows

NAME = "DETR or RT-DETR"
_SIZES = ("small", "medium", "large")
COCO = (
    *("AP", "AP50", "AP75", *(f"AP_{size}" for size in _SIZES)),
    *("AR1", "AR10", "AR100", *(f"AR_{size}" for size in _SIZES)),
)


def recognises(log: LogText) -> bool:
    return log.lines[0].startswith("{") and '"train_loss"' in log.lines[0]


def read(log: LogText) -> Rows:
    """A training and a validation row for each epoch; the first epoch ends at 1.

    Raises:
        UserError: a line before the last is no JSON object, or a line has no valid `epoch`.
    """
    rows = Rows()
    records, rows.cut_off = json_records(log)
    for index, record in records:
        if "epoch" not in record:
            raise log.error(index, "no whole number under 'epoch', as DETR writes it")
        require_counts(log, index, record, ("epoch",))
        rows.train(record["epoch"] + 1, None, _numbers(record, "train_"))
        tested = _numbers(record, "test_") | _coco(record.get("test_coco_eval_bbox"))
        if tested:
            rows.validation(tested)
    return rows


def _numbers(record: dict[str, Any], prefix: str) -> dict[str, float]:
    return {
        name.removeprefix(prefix): value
        for name, logged in record.items()
        if name.startswith(prefix) and (value := number(logged)) is not None
    }


def _coco(values: Any) -> dict[str, float]:
    """COCO's twelve metrics by name."""
    if not isinstance(values, list):
        return {}
    numbers = zip(COCO, map(number, values), strict=False)
    return {name: value for name, value in numbers if value is not None}
