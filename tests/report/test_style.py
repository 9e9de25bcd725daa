"""Figures look the same whatever a user's `matplotlibrc` says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import pytest

import unidet.report
from unidet.report.plots import category_bars, loss_curves
from unidet.report.style import figure_style

ROOT = Path(__file__).resolve().parents[2]
OF_A_USER: Any = {
    "text.usetex": True,  # LaTeX is missing on most machines
    "font.size": 40,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "axes.facecolor": "red",
}
LOG = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0]})
BARS = pd.DataFrame({"name": ["cat"], "novel": False, "AP": 1.0})


@pytest.mark.parametrize(
    "draw",
    [lambda path: loss_curves(LOG, path, "rpn"), lambda path: category_bars(BARS, path)],
    ids=["curves", "bars"],
)
def test_a_user_s_settings_change_no_figure(draw: Callable[[Path], None], tmp_path: Path) -> None:
    draw(tmp_path / "plain.png")
    with matplotlib.rc_context(OF_A_USER):
        draw(tmp_path / "user.png")
        assert matplotlib.rcParams["font.size"] == 40
    assert (tmp_path / "user.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_the_style_is_the_defaults_and_its_own() -> None:
    with matplotlib.rc_context(OF_A_USER), figure_style({"font.size": 8}):
        assert matplotlib.rcParams["font.size"] == 8
        assert not matplotlib.rcParams["text.usetex"]


def test_every_figure_is_drawn_in_it() -> None:
    sources = [*(ROOT / "unidet").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    texts = {path.name: path.read_text() for path in sources}
    assert [name for name, text in texts.items() if "rc_context(" in text] == ["style.py"]
    drawn = {name for name, text in texts.items() if re.search(r"\bFigure\(", text)}
    assert {name for name in drawn if "with figure_style(" not in texts[name]} == set()


def test_a_place_for_settings_that_cannot_be_written_is_not_spoken_of(tmp_path: Path) -> None:
    """Matplotlib wrote lines of advice among those of a run."""
    (tmp_path / "file").touch()
    code = (
        "from unidet.console import streams; streams.prepare(); "
        "import matplotlib; print(matplotlib.get_cachedir())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"MPLCONFIGDIR": str(tmp_path / "file/x"), "PYTHONPATH": str(ROOT)},
        cwd=Path(unidet.report.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "matplotlib" in done.stdout
