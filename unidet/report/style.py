"""The look of figures for papers: sans serif, thin grid, colours that colour-blind readers see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Figure

from unidet.store.disk import whole_file

# Okabe and Ito (2008); violet for their yellow, which is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7B4FA3")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
PAPER: Any = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "axes.formatter.useoffset": False,  # 0.3801 is 0.3801, not 1e-4 and +3.8e-1 in a corner
    "text.parse_math": False,  # a $ in a name is a $
    "pdf.fonttype": 42,  # text stays text: journals refuse Type 3
    "svg.fonttype": "none",
}
PICTURES = (".png", ".pdf", ".svg")


@contextmanager
def figure_style(settings: Any) -> Iterator[None]:
    """Matplotlib's own defaults and these settings; none of a user's `matplotlibrc`.

    With `text.usetex` there, or other fonts, a figure would look otherwise than on another machine,
    or fail where LaTeX is missing, at the end of a training.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield


def save(figure: Figure, path: Path, dpi: int = 200) -> None:
    """The figure under its name, whole or not at all; the suffix says the format.

    Raises:
        UserError: it cannot be written.
    """
    drawn = BytesIO()  # where matplotlib meets an error of the disk, it leaves the file open
    figure.savefig(drawn, dpi=dpi, format=path.suffix[1:])
    with whole_file(path) as partial:
        partial.write_bytes(drawn.getvalue())
