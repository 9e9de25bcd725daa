"""Figures of names, whatever the names are; warnings are errors here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from unidet.report.plots import calibration_curves, category_bars, loss_curves, metric_curves
from unidet.report.style import COLOURS

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


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """What was drawn, with the texts of its ticks, in place of files."""
    kept: list[Figure] = []

    def keep(figure: Figure, target: Path, **_: object) -> None:
        figure.draw_without_rendering()
        kept.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


def test_a_difference_of_a_thousandth_looks_small(figures: list[Figure]) -> None:
    swept = pd.DataFrame({"gamma": [0, 1, 0, 1], "AP": [0.3801, 0.3802, 0.3803, 0.3811]})
    swept["seed"] = [0, 0, 1, 1]
    metric_curves(swept, "gamma", "AP", ["seed"], Path("AP.png"))
    calibration_curves(swept.assign(beta=0.4, cap=300), Path("sweep.png"), "AP")
    for figure in figures:
        axes = figure.axes[0]
        bottom, top = axes.get_ylim()
        assert top - bottom == pytest.approx(0.05)
        assert bottom < 0.38 < top
        assert axes.yaxis.get_offset_text().get_text() == ""
        assert axes.get_ylabel() == "AP"


def test_an_axis_does_not_go_below_nothing(figures: list[Figure]) -> None:
    swept = pd.DataFrame({"gamma": [0, 1], "AP": [0.0005, 0.001]})
    metric_curves(swept, "gamma", "AP", [], Path("AP.png"))
    assert figures[0].axes[0].get_ylim() == pytest.approx((0, 0.05), abs=1e-9)
    metric_curves(swept * 400, "gamma", "AP", [], Path("AP.png"))
    bottom, top = figures[1].axes[0].get_ylim()
    assert (bottom, top) == pytest.approx((0.19, 0.41)), "what differs by more is as it was"


def test_the_mean_of_losses_is_named(figures: list[Figure]) -> None:
    log = pd.DataFrame({"step": range(50), "loss": 1.0, "loss_box": 0.5})
    loss_curves(log, Path("loss.png"), "rpn")
    loss_curves(log[:10], Path("loss.png"), "rpn")
    assert [figure.axes[0].get_ylabel() for figure in figures] == [
        *("loss (mean of the last 2 rows)", "loss")
    ]
    total, part = figures[0].axes[0].lines
    assert (total.get_color(), part.get_color()) == ("black", COLOURS[0])


def test_novel_categories_have_a_legend(figures: list[Figure]) -> None:
    category_bars(table("cat", "dog").assign(novel=[True, False]), Path("bars.png"))
    category_bars(table("cat"), Path("bars.png"))
    legend = figures[0].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        *("base", "novel: never labelled in training")
    ]
    assert figures[1].axes[0].get_legend() is None


def test_ticks_say_whole_numbers(figures: list[Figure]) -> None:
    """1000.1 is 1000.1, not 0.1 and +1e3 in a corner."""
    swept = pd.DataFrame({"gamma": [0, 1], "ms": [1000.1, 1000.2]})
    metric_curves(swept, "gamma", "ms", [], Path("ms.png"))
    assert figures[0].axes[0].yaxis.get_offset_text().get_text() == ""
