"""What an evaluation leaves of every category: a table, and bars where they can be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

TABLE, PLOT = "per_category.csv", "per_category.png"
MOST_BARS = 120


def save_per_category(table: pandas.DataFrame, folder: Path) -> None:
    """Leave `per_category_table` as CSV, and as a figure where it has few enough rows."""
    from unidet.report.spreadsheet import write_csv

    write_csv(table, folder / TABLE)
    evaluated = table[table["instances"] > 0]
    if len(evaluated) <= MOST_BARS:
        from unidet.report.plots import category_bars

        category_bars(evaluated, folder / PLOT)
