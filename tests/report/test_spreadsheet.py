"""Nothing in a CSV of ours is a formula."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from unidet.report.spreadsheet import write_csv


def test_formulas_become_text_and_numbers_stay(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "cat", "a=b", ""]
    write_csv(pd.DataFrame({"name": names, "AP": [-1.5] * 8}), tmp_path / "x.csv")
    table = pd.read_csv(tmp_path / "x.csv", keep_default_na=False)
    assert table["name"].tolist() == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "cat", "a=b", ""]
    assert table["AP"].tolist() == [-1.5] * 8


def test_control_codes_of_terminals_do_not_reach_a_table(tmp_path: Path) -> None:
    """Joiners of Indic scripts and line breaks in a cell stay."""
    names = ["\x1b[31mred\x07", "a\x9bb", "क्\u200dष", "two\nlines"]
    write_csv(pd.DataFrame({"name": names}), tmp_path / "x.csv")
    table = pd.read_csv(tmp_path / "x.csv")
    assert table["name"].tolist() == ["?[31mred?", "a?b", "क्\u200dष", "two\nlines"]
