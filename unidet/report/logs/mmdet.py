"""Reads text and JSON logs of mmdet, 2.x (mmcv) and 3.x (mmengine).

Source: open-mmlab/mmcv mmcv/runner/hooks/logger/text.py:TextLoggerHook and open-mmlab/mmengine
mmengine/runner/log_processor.py:LogProcessor. Text:
    2.x  … - mmdet - INFO - Epoch [1][50/7330]<tab>lr: 2.000e-02, eta: …, loss: 0.5
         … - mmdet - INFO - Epoch(val) [1][625]<tab>bbox_mAP: 0.3740, …
    3.x  … - mmengine - INFO - Epoch(train)  [1][  50/7330]  lr: 2.0000e-02  eta: …  loss: 0.5
         … - mmengine - INFO - Epoch(val) [1][625/625]    coco/bbox_mAP: 0.3740  …
or `Iter` with one bracket if training counts iterations. JSON: one object per line, 2.x with
"mode", "epoch" and the "iter" within the epoch, 3.x with "step" over the whole run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from unidet.report.logs.log_lines import (
    LogText,
    json_records,
    number,
    read_text,
    require_counts,
)
from unidet.report.logs.rows import Rows, metric_name

NAME = "mmdet"
_COUNT = r"\[\s*\d{1,15}\s*(?:/\s*\d{1,15}\s*)?\]"
_ROW = re.compile(rf"\b(Epoch|Iter)(?:\((\w+)\))?\s*((?:{_COUNT})+)\s*(.*)")
_NUMBER = r"[-+]?(?:nan|inf|\d+\.?\d*(?:[eE][-+]?\d+)?)"
_VALUE = re.compile(rf"([^\W\d].*?): ({_NUMBER})(?=\s|$)")
_BETWEEN = re.compile(r",\s|\s{2,}|\t")
"""2.x separates values by commas, 3.x by several spaces; names may contain one, as `hot dog`."""
_NO_CURVES = {"eta", "time", "data_time", "memory", "mode", "epoch", "iter", "step", "seed"}


def recognises(log: LogText) -> bool:
    if log.lines[0].lstrip().startswith("{"):
        return any(f'"{key}"' in log.lines[0] for key in ("mode", "env_info", "step", "exp_name"))
    return any(_ROW.search(line) for line in log.lines)


def read(log: LogText) -> Rows:
    """Training and validation rows.

    Raises:
        UserError: a line before the last of a JSON log is no JSON, a line is no JSON object, or a
            count is no whole number.
    """
    return _read_json(log) if log.lines[0].lstrip().startswith("{") else _read_text(log)


def _read_text(log: LogText) -> Rows:
    rows = Rows()
    for index, line in enumerate(log.lines):
        row = _ROW.search(line)
        if not row:
            continue
        if index + 1 == len(log.lines) and log.open_end:
            rows.cut_off = 1
            break
        pairs = (pair for text in _BETWEEN.split(row[4]) for pair in _VALUE.findall(text))
        values = _values({name: float(value) for name, value in pairs})
        counts = [[int(count) for count in part.split("/")] for part in row[3][1:-1].split("][")]
        if row[1] == "Epoch" and len(counts) == 1:
            continue  # output of custom code, such as `Epoch [3] begins`
        if row[2] in (None, "train"):
            epoch, step = _text_place(row[1], counts)
            rows.train(epoch, step, values)
        elif row[2] == "val" and values:
            rows.validation(values, counts[0][0] if row[1] == "Epoch" else None)
    return rows


def _text_place(unit: str, counts: list[list[int]]) -> tuple[int | None, int]:
    """(epoch, step in the whole run) of `Epoch [2][50/7330]` or `Iter [50/90000]`."""
    if unit == "Iter":
        return None, counts[0][0]
    (epoch, *_), (iteration, *length) = counts
    return epoch, (epoch - 1) * (length[0] if length else 0) + iteration


def _read_json(log: LogText) -> Rows:
    rows = Rows()
    numbered, rows.cut_off = json_records(log)
    for index, record in numbered:
        require_counts(log, index, record, ("epoch", "iter", "step"))
    records = [
        record for _, record in numbered if "env_info" not in record and "exp_name" not in record
    ]
    length, trained = _length_beside(log.path), False
    if not length:
        length = rows.guessed_epoch = _longest_epoch(records)
    for record in records:
        values = _values(record)
        if not values:
            continue
        epoch = record.get("epoch")
        if _is_training(record):
            trained = True
            step = record.get("step", record["iter"])
            before = (record.get("epoch", 1) - 1) * length
            rows.train(epoch, before + step, values)
        else:
            # 3.x stores the epoch of an evaluation as its "step".
            rows.validation(values, epoch if trained else record.get("epoch", record.get("step")))
    return rows


def _is_training(record: Mapping[str, Any]) -> bool:
    if "mode" in record:
        return record["mode"] == "train" and "iter" in record
    return "iter" in record and any("loss" in name for name in record)


def _length_beside(path: Path) -> int:
    """Steps per epoch from the text log that 2.x writes beside `….log.json`; 0 without one."""
    beside = path.with_suffix("")
    if beside.suffix != ".log" or not beside.is_file():
        return 0
    for row in map(_ROW.search, read_text(beside).lines):
        counts = re.findall(_COUNT, row[3]) if row and row[2] is None else []
        if len(counts) == 2 and "/" in counts[1]:
            return int(counts[1].strip("[] ").split("/")[1])
    return 0


def _longest_epoch(records: list[dict[str, Any]]) -> int:
    """Steps per epoch if "iter" restarts with each epoch, else 0.

    The log does not contain the number. This returns the largest "iter", which is less than one
    logging interval below it.
    """
    trained = [record for record in records if _is_training(record) and "step" not in record]
    restarts = any(
        after.get("epoch", 0) > before.get("epoch", 0) and after["iter"] <= before["iter"]
        for before, after in pairwise(trained)
    )
    return max(record["iter"] for record in trained) if restarts else 0


def _values(logged: Mapping[str, Any]) -> dict[str, float]:
    """The numbers to draw; the first of several learning rates becomes "lr"."""
    values: dict[str, float] = {}
    rates = logged.get("lr")
    if isinstance(rates, dict) and rates:
        logged = {**logged, "lr": next(iter(rates.values()))}
    for name, item in logged.items():
        value = number(item)
        if value is not None and name not in _NO_CURVES and not name.endswith("copypaste"):
            if name.startswith("lr_"):
                values.setdefault("lr", value)
            short = metric_name(name)
            values[name if short in values else short] = value
    return values
