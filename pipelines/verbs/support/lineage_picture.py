"""A lineage as a picture: raw files at the bottom, the artefact asked about on top."""

from __future__ import annotations

from pathlib import Path

from unidet.errors import UserError
from unidet.pipelines.verbs.lineage import label
from unidet.store.lineage import Node

BOX = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3fa", "edgecolor": "#4a6fa5"}
NOTE = {"boxstyle": "square,pad=0.4", "facecolor": "#fbf6e3", "edgecolor": "#b59b3b"}
KINDS = (".png", ".svg", ".pdf")

Place = tuple[float, float]


def draw(nodes: list[Node], path: Path) -> None:
    """Write the picture to `path`, by its ending a PNG, SVG or PDF.

    Raises:
        UserError: another ending, or a file that cannot be written.
    """
    if path.suffix not in KINDS:
        raise UserError(f"--picture {path}: give a name that ends with {', '.join(KINDS)}")
    from matplotlib.figure import Figure

    places = _places(nodes)
    width = 2.6 * (1 + max(x for x, _ in places.values()))
    height = 1.4 * (1 + max(y for _, y in places.values()))
    figure = Figure(figsize=(max(width, 4), max(height, 2)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set_xlim(-0.6, max(x for x, _ in places.values()) + 0.6)
    axes.set_ylim(-0.6, max(y for _, y in places.values()) + 0.6)
    for node in nodes:
        inputs = [*node.inputs.values(), *(file.digest for file in node.files)]
        for one in inputs:
            arrow = {"arrowstyle": "->", "color": "#777777", "shrinkA": 22, "shrinkB": 24}
            arrow["connectionstyle"] = "arc3,rad=0.25"  # not behind what lies between
            axes.annotate("", places[node.key], places[one], arrowprops=arrow)
        _box(axes, places[node.key], "\n".join(label(node)), BOX)
        for file in node.files:
            _box(axes, places[file.digest], f"{file.name}\n{file.digest[:12]}", NOTE)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"--picture {path}: {error.strerror}") from error


def _box(axes, place: Place, text: str, style: dict) -> None:  # type: ignore[no-untyped-def]
    axes.text(*place, text, ha="center", va="center", fontsize=7, bbox=style)


def _places(nodes: list[Node]) -> dict[str, Place]:
    """Column and row of everything; each stands above all that it was made from."""
    rows: dict[str, int] = {}
    for node in reversed(nodes):
        below = [rows[key] for key in node.inputs.values()]
        below += [rows.setdefault(file.digest, 0) for file in node.files]
        rows[node.key] = 1 + max(below, default=-1)
    columns: dict[int, list[str]] = {}
    for name, row in rows.items():
        columns.setdefault(row, []).append(name)
    widest = max(map(len, columns.values()))
    return {
        name: (number + (widest - len(names)) / 2, float(row))
        for row, names in columns.items()
        for number, name in enumerate(names)
    }
