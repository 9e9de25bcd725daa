"""Figures of names, whatever the names are; warnings are errors here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unidet.report.plots import category_bars, loss_curves, metric_curves

NAMES = {
    "plain": "cat",
    "long": "a very long name " * 300,
    "controls": "a\x00b\x07c\x1b[31md\re",
    "lines": "first\nsecond\n" * 40,
    "formula": r"$\frac{1$",
    "dollars": "from $5 to $6",
    "chinese": "猫と犬",
    "emoji": "\N{CAT FACE}\N{ZERO WIDTH JOINER}\N{DOG FACE}",
    "accents": "cafe\N{COMBINING ACUTE ACCENT}",
    "empty": "",
}


def bars_in(path: Path) -> np.ndarray:
    """Widths in pixels of the rows that are blue for the most part: an AP of 1."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return (np.abs(pixels - (0x00, 0x72, 0xB2)).sum(axis=2) < 30).sum(axis=1)


def table(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"name": names, "novel": False, "AP": 1.0})


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_takes_the_room_of_the_bars(name: str, tmp_path: Path) -> None:
    """Of 840 pixels a bar has at least half, beside a name of 40 characters in 6 points."""
    category_bars(table(name, "dog"), tmp_path / "bars.png")
    assert bars_in(tmp_path / "bars.png").max() > 420


def test_categories_of_one_name_have_a_bar_each(tmp_path: Path) -> None:
    category_bars(table("cat", "cat", "cat"), tmp_path / "bars.png")
    filled = (bars_in(tmp_path / "bars.png") > 420).astype(int)
    assert (np.diff(filled) == 1).sum() == 3


def test_no_category_is_no_bar(tmp_path: Path) -> None:
    category_bars(table(), tmp_path / "bars.png")
    assert bars_in(tmp_path / "bars.png").max() == 0


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_curves_take_any_name(name: str, tmp_path: Path) -> None:
    log = pd.DataFrame({"step": [0, 1], "loss": [1.0, 0.5]})
    loss_curves(log, tmp_path / "loss.png", name)
    swept = pd.DataFrame({"gamma": [0, 1], "AP": [0.1, 0.2], "rpn.weights": [name, name]})
    metric_curves(swept, "gamma", "AP", ["rpn.weights"], tmp_path / "AP.png")
    with Image.open(tmp_path / "AP.png") as picture:
        assert picture.size == (624, 432)
