"""Style of figures for papers: sans serif, thin grid, colours for colour-blind readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Figure

from unidet.store.disk import whole_file

# Okabe and Ito (2008), with violet for their yellow, which is too pale for lines on white.
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
    "axes.formatter.useoffset": False,  # ticks show 0.3801, not 1e-4 with an offset of 0.38
    "pdf.fonttype": 42,  # embeds text as TrueType: journals reject Type 3
    "svg.fonttype": "none",
}
PICTURES = (".png", ".pdf", ".svg")


@contextmanager
def figure_style(settings: Any) -> Iterator[None]:
    """Matplotlib's defaults with these settings, independent of the user's `matplotlibrc`.

    A setting there, such as `text.usetex` or another font, would change figures between machines,
    or make them fail without LaTeX, at the end of a training.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"text.parse_math": False, **settings})  # a $ in a name is one
        yield


def save(figure: Figure, path: Path, dpi: int = 200) -> None:
    """Writes the figure atomically, in the format of the suffix.

    Raises:
        UserError: the file cannot be written.
    """
    drawn = BytesIO()  # matplotlib leaves the file open after an error of the disk
    figure.savefig(drawn, dpi=dpi, format=path.suffix[1:])
    with whole_file(path) as partial:
        partial.write_bytes(drawn.getvalue())
