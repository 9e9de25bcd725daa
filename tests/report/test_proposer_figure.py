"""The image of a proposer study, from a table made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from unidet.errors import UserError
from unidet.report import proposer_figure as module
from unidet.report.proposer_figure import COLUMNS, draw_proposer_study

ROWS = [
    # AR@10  100   300   1000    s     m     l    base  novel   ms  parameters
    ("cln", 0.25, 0.40, 0.45, 0.50, 0.20, 0.45, 0.70, 0.50, 0.40, 200.0, 41_000_000),
    ("nanodet", 0.30, 0.45, 0.50, 0.55, 0.25, 0.50, 0.75, 0.60, -1.0, 20.0, 1_200_000),
    ("detr", 0.35, 0.42, float("nan"), float("nan"), 0.1, 0.4, 0.8, 0.45, 0.35, 400.0, 41_302_368),
]


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=list(COLUMNS))


def panels(monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame) -> list[Axes]:
    kept: list[Figure] = []
    monkeypatch.setattr(module, "save", lambda figure, _: kept.append(figure))
    draw_proposer_study(table, Path("unused.png"))
    return kept[0].axes


def test_recall_curves_by_number_and_by_size(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, _, size, _ = panels(monkeypatch, table)
    cln, _, detr = number.lines
    assert cln.get_xdata().tolist() == [10, 100, 300, 1000]
    assert cln.get_ydata().tolist() == [0.25, 0.4, 0.45, 0.5]
    assert np.isfinite(detr.get_ydata()).tolist() == [True, True, False, False]
    assert [label.get_text() for label in number.get_xticklabels()] == ["10", "100", "300", "1000"]
    assert [line.get_ydata().tolist() for line in size.lines] == [
        [0.2, 0.45, 0.7],
        [0.25, 0.5, 0.75],
        [0.1, 0.4, 0.8],
    ]


def test_bars_of_base_above_those_of_novel(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = panels(monkeypatch, table)[1]
    widths = [bar.get_width() for bar in bars.patches]
    assert widths[:3] == [0.5, 0.4, 0.6]
    assert np.isnan(widths[3])  # undefined
    assert [text.get_text() for text in bars.texts] == [".500", ".400", ".600", ".450", ".350"]
    assert [mark.get_marker() for mark in bars.lines] == ["o", "s", "^"]
    assert [mark.get_ydata()[0] for mark in bars.lines] == [0, 1, 2]
    first, second = bars.patches[:2]
    assert first.get_y() < second.get_y()
    assert bars.yaxis_inverted()


def test_time_against_recall(table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    time = panels(monkeypatch, table)[3]
    places = [mark.get_offsets() for mark in time.collections]
    assert [place.tolist() for place in places[:2]] == [[[200, 0.45]], [[20, 0.5]]]
    assert places[2].mask.all()  # detr has no AR@300
    large, small, _ = (mark.get_sizes()[0] for mark in time.collections)
    assert large - 12 == pytest.approx((small - 12) * (41 / 1.2) ** 0.5)
    assert time.get_xscale() == "log"
    assert time.get_ylim()[0] == 0, "as in the other panels"
    table["ms"] = [30.0, 20.0, 40.0]
    assert panels(monkeypatch, table)[3].get_xscale() == "linear"


def test_a_proposer_looks_the_same_in_every_panel(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, bars, size, time = panels(monkeypatch, table)
    colour = number.lines[1].get_color()  # nanodet's
    assert size.lines[1].get_color() == colour
    assert Image.new("RGB", (1, 1), colour).getpixel((0, 0)) == tuple(
        round(255 * part) for part in bars.patches[2].get_facecolor()[:3]
    )
    assert time.collections[1].get_facecolor()[0].tolist() == pytest.approx(
        list(bars.patches[2].get_facecolor())
    )


def test_the_file_is_a_picture_under_its_name(table: pd.DataFrame, tmp_path: Path) -> None:
    draw_proposer_study(table, tmp_path / "study.svg", "The toy world")
    text = (tmp_path / "study.svg").read_text()
    for words in ("The toy world", "nanodet (1.2 M)", "AR by number of proposals"):
        assert f">{words}</text>" in text
    draw_proposer_study(table[:1], tmp_path / "study.png")
    with Image.open(tmp_path / "study.png") as picture:
        assert min(picture.size) > 800
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.png", "study.svg"]


def test_a_wrong_table_or_name(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing: \['ms'\]"):
        draw_proposer_study(table.drop(columns="ms"), tmp_path / "a.png")
    with pytest.raises(ValueError, match="a row for each proposer"):
        draw_proposer_study(pd.concat([table, table]), tmp_path / "a.png")
    with pytest.raises(ValueError, match="a row for each proposer"):
        draw_proposer_study(table[:0], tmp_path / "a.png")
    with pytest.raises(UserError, match="must end in"):
        draw_proposer_study(table, tmp_path / "a.jpg")
