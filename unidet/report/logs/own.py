"""Reads `log.csv` of unidet.training.log: a header that starts with `step`, then logged steps."""

from __future__ import annotations

import csv

from unidet.report.logs.log_lines import LogText
from unidet.report.logs.rows import Rows, metric_name

NAME = "unidet"


def recognises(log: LogText) -> bool:
    first, *others = log.lines[0].split(",")
    return first == "step" and "epoch" not in others


def read(log: LogText) -> Rows:
    """Training rows; an empty cell is a quantity that was not logged at that step.

    Raises:
        UserError: a row before the last has another number of cells than the header, or a cell is
            no number.
    """
    header, *table = _cells(log)
    names = [metric_name(name) for name in header]
    rows = Rows()
    for index, cells in enumerate(table, start=1):
        if not cells:
            continue
        last = index + 1 == len(log.lines)
        if last and (log.open_end or len(cells) < len(names)):
            rows.cut_off = 1
            break
        if len(cells) != len(names):
            raise log.error(index, f"{len(cells)} cells under a header of {len(names)}")
        try:
            values = {name: float(cell) for name, cell in zip(names, cells, strict=True) if cell}
            step = int(values.pop("step"))
        except (KeyError, ValueError, OverflowError):
            raise log.error(index, f"{','.join(cells)!r:.80} is no row of numbers") from None
        rows.train(None, step, values)
    return rows


def _cells(log: LogText) -> list[list[str]]:
    reader = csv.reader(log.lines)
    try:
        return list(reader)
    except csv.Error as error:  # a NUL byte before Python 3.11, or an unclosed quote
        raise log.error(reader.line_num - 1, f"no row of a table ({error})") from None
