"""Reads `logs.txt` or the output of nanodet.

Source: RangiLyu/nanodet nanodet/trainer/task.py:training_step, validation_step and
nanodet/util/logger.py:log_metrics. A line contains
`Train|Epoch1/300|Iter50(51/153)| mem:9G| lr:1.00e-04| loss_qfl:0.8| …`, with steps over the whole
run after `Iter`, or `Val_metrics: {'mAP': 0.27, …}`. The total loss is not logged: it is the sum of
the logged losses, which include their weights.
"""

from __future__ import annotations

import re

from unidet.report.logs.log_lines import LogText
from unidet.report.logs.rows import TRAIN, Rows, metric_name

NAME = "nanodet"
_ROW = re.compile(r"\b(Train|Val)\|Epoch:?(\d{1,15})/\d+\|Iter:?(\d{1,15})\([\d/]+\)\|(.*)")
_METRICS = re.compile(r"\bVal_metrics: \{(.*)\}")
_VALUE = re.compile(r"([A-Za-z]\w*):\s*([-+\w.]+)\|")
# NumPy 2 writes np.float64(0.27) for 0.27.
_METRIC = re.compile(r"'(\w+)': (?:np\.float64\()?([-+\w.]+)")


def recognises(log: LogText) -> bool:
    return any(_ROW.search(line) for line in log.lines)


def read(log: LogText) -> Rows:
    """Training rows; one validation row per evaluation, with its losses averaged over batches.

    Raises:
        UserError: a value is no number.
    """
    rows = Rows()
    batches: list[dict[str, float]] = []
    for index, line in enumerate(log.lines):
        row, metrics = _ROW.search(line), _METRICS.search(line)
        if (row or "Val_metrics" in line) and index + 1 == len(log.lines) and log.open_end:
            rows.cut_off = 1
        elif row:
            values = _numbers(log, index, _VALUE.findall(row[4].replace(" ", "")))
            values["loss"] = sum(value for name, value in values.items() if "loss" in name)
            epoch, step = int(row[2]), int(row[3])
            if row[1].lower() == TRAIN:
                batches = []
                rows.train(epoch, step, values)
            else:
                batches.append({name: value for name, value in values.items() if name != "lr"})
                rows.validation(_mean(batches), epoch)
        elif metrics:
            rows.validation(_numbers(log, index, _METRIC.findall(metrics[1])))
    return rows


def _numbers(log: LogText, index: int, pairs: list[tuple[str, str]]) -> dict[str, float]:
    try:
        return {metric_name(name): float(value) for name, value in pairs if name != "mem"}
    except ValueError as error:
        raise log.error(index, f"{error!s:.80} where a number belongs") from None


def _mean(batches: list[dict[str, float]]) -> dict[str, float]:
    return {
        name: sum(batch.get(name, 0.0) for batch in batches) / len(batches) for name in batches[0]
    }
