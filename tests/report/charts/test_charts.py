"""Axes by hand; every chart is well-formed and says in words what it shows."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from reports import HOSTILE, evaluated, study

from unidet.report.charts.axes import Axis, Frame, compact
from unidet.report.charts.heat_map import colour
from unidet.report.charts.lines import Line, line_chart, unit
from unidet.report.charts.svg import Chart, element, shortened, words
from unidet.report.html.set_charts import matrix_chart, set_charts
from unidet.report.html.study_charts import recall_charts, sweep_charts, training_charts


def all_charts() -> list[Chart]:
    made = study(evaluated(HOSTILE, images=40))
    return [
        *set_charts(made.sets[0]),
        matrix_chart(made.sets[0].matrix),
        *recall_charts(made.recalls[0], closed=False),
        *sweep_charts(made.sweeps[0], made),
        *training_charts(made.training[0]),
    ]


def test_charts_are_well_formed_and_speak() -> None:
    charts = all_charts()
    assert len(charts) == 10
    for chart in charts:
        root = ElementTree.fromstring(chart.svg)
        assert {node.tag for node in root.iter()} <= {
            "svg",
            "g",
            "path",
            "circle",
            "rect",
            "text",
            "title",
        }
        assert len(chart.says) > 40, chart.title
        assert not re.search(r"\bnan\b", chart.svg)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 0.0021], ["0.0", "0.5", "1.0", "1.5", "2.0"]),
        ([0.0, 1.0], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([3.0, 12_000.0], ["0", "5,000", "10k"]),
        ([250_000.0], ["0", "50k", "100k", "150k", "200k", "250k"]),
        ([7.0], ["0", "2", "4", "6"]),
        ([], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_round_ticks_without_exponents(values: list[float], ticks: list[str]) -> None:
    axis = Axis.of("value", values)
    assert [text for _, text in axis.marks()] == ticks


def test_small_values_have_their_power_beside_the_name() -> None:
    assert Axis.of("learning rate", [2e-5, 3e-4]).label == "learning rate (×10⁻⁴)"
    assert Axis.of("AP", [0.02, 0.3]).label == "AP"


def test_a_logarithmic_axis() -> None:
    axis = Axis("boxes", 1, 100, log=True)
    assert axis.place(10) == pytest.approx(0.5)
    assert [text for _, text in axis.marks()] == ["1", "2", "5", "10", "20", "50", "100"]
    one = Axis.of("boxes", [5], log=True)  # a single value has room on both sides
    assert 0 < one.place(5) < 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (300, "300"), (1000, "1,000"), (5e4, "50k"), (2e6, "2M")]
)
def test_compact_numbers(value: float, text: str) -> None:
    assert compact(value) == text


def test_a_gap_in_a_line() -> None:
    frame = Frame(unit("x"), unit("y"))
    chart = line_chart("t", frame, [Line("a", [0, 0.5, 1, 1], [0, None, 1, 0.5])], "says")
    (line,) = (
        node for node in ElementTree.fromstring(chart.svg).iter() if "line" in node.get("class", "")
    )
    assert [step[0] for step in line.get("d", "").split(" ") if step[0] in "ML"] == ["M", "M", "L"]


def test_viridis_at_its_ends() -> None:
    assert colour(0, 0, 1) == (68, 1, 84)
    assert colour(1, 0, 1) == (253, 231, 37)
    assert colour(0.3, 0.3, 0.3) == colour(0.5, 0, 1)


def test_text_is_escaped_and_cut() -> None:
    assert words("<a>&\x00", 1, 2) == '<text x="1" y="2">&lt;a&gt;&amp; </text>'
    assert element("path", class_='"x"', d=None) == '<path class="&quot;x&quot;"/>'
    assert shortened("a very long category name", 12) == "a very l…ame"
