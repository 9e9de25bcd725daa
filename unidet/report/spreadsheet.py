"""Tables as CSV that a spreadsheet shows and does not compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table; text that a spreadsheet would take for a formula gets an apostrophe before it.

    Category names and paths come from other people's files (CWE-1236).
    """
    plain = table.copy()
    for name, column in table.items():
        if not is_numeric_dtype(column):
            plain[name] = column.map(_neutral)
    plain.to_csv(path, index=False)


def _neutral(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
