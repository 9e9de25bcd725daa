"""Writes tables as CSV without formulas and control codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from unidet.report.cells import harmless


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes a table; text that a spreadsheet would take for a formula gets a leading apostrophe,
    and control codes of terminals become question marks.

    Category names and paths come from files of others.
    """
    plain = table.copy()
    for name, column in table.items():
        if not is_numeric_dtype(column):
            plain[name] = column.map(_neutral)
    plain.to_csv(path, index=False)


def _neutral(cell: Any) -> Any:
    return harmless(cell) if isinstance(cell, str) else cell
