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
