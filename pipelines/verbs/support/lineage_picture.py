"""A lineage as a drawing: raw files at the bottom, the artefact asked about on top.

Layered drawing (Sugiyama, Tagawa, Toda 1981): a row for each layer; an arrow that skips rows gets
a place of its own in each of them, so that none runs through a box; rows are ordered by the mean
place of what they hang on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from unidet.pipelines.verbs.lineage import label
from unidet.store.lineage import Node, direct_inputs

BOX = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3fa", "edgecolor": "#4a6fa5"}
NOTE = {"boxstyle": "square,pad=0.4", "facecolor": "#fbf6e3", "edgecolor": "#b59b3b"}
COLUMN, ROW = 2.2, 1.3  # inches
HALF_ROW = 0.24  # so far above and below the middle of its row a line that passes is upright
PASSES = 8

Edge = tuple[str, str]  # from what is used to its user


@dataclass(frozen=True)
class Layout:
    """Where everything stands: (column, row) by name, and the points of every edge."""

    places: Mapping[str, tuple[float, int]]
    paths: Mapping[Edge, Sequence[str]]


def draw(nodes: list[Node], path: Path) -> None:
    """Write the drawing to `path`, by its ending a PNG, SVG or PDF.

    Raises:
        UserError: it cannot be written.
    """
    from unidet.report.style import figure_style

    with figure_style({}):
        _draw(nodes, path)


def _draw(nodes: list[Node], path: Path) -> None:
    from unidet.report.label_text import label as shown
    from unidet.report.style import Figure, save

    direct = direct_inputs(nodes)
    edges = [(key, node.key) for node in nodes for key in direct[node.key]]
    edges += [(file.digest, node.key) for node in nodes for file in node.files]
    layout = layered([node.key for node in reversed(nodes)], edges)
    right = max(x for x, _ in layout.places.values())
    top = max(row for _, row in layout.places.values())
    figure = Figure(figsize=(COLUMN * (right + 1.2), ROW * (top + 1)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set_xlim(-0.6, right + 0.6)
    axes.set_ylim(-0.5, top + 0.5)
    boxes = {}
    for node in nodes:
        text = "\n".join(map(shown, label(node)))
        boxes[node.key] = _box(axes, layout.places[node.key], text, BOX)
        for file in node.files:
            text = f"{shown(file.name)}\n{file.digest[:12]}"
            boxes[file.digest] = _box(axes, layout.places[file.digest], text, NOTE)
    figure.draw_without_rendering()  # gives the boxes their heights
    heights = {name: _height(box) for name, box in boxes.items()}
    for first, *between, last in layout.paths.values():
        places = [layout.places[name] for name in (first, *between, last)]
        _arrow(axes, places, heights[first], heights[last])
    save(figure, path, dpi=150)


def _arrow(  # type: ignore[no-untyped-def]
    axes, points: list[tuple[float, int]], first_height: float, last_height: float
) -> None:
    """A line from the top of the first box to the bottom of the last; upright within each row."""
    (x, bottom), *between, (last_x, last) = points
    upright = [(x, row + half) for x, row in between for half in (-HALF_ROW, HALF_ROW)]
    line = [(x, bottom + first_height / 2), *upright, (last_x, last - last_height / 2)]
    axes.plot(*zip(*line[:-1], strict=True), color="#777777", linewidth=0.8)
    arrow = {"arrowstyle": "->", "color": "#777777", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", line[-1], line[-2], arrowprops=arrow)


def _box(axes, place, text: str, style: dict):  # type: ignore[no-untyped-def]
    return axes.text(*place, text, ha="center", va="center", fontsize=7, bbox=style)


def _height(box) -> float:  # type: ignore[no-untyped-def]
    """Of a box that has been drawn, in rows."""
    extent = box.get_bbox_patch().get_window_extent()
    (_, low), (_, high) = box.axes.transData.inverted().transform(extent)
    return high - low


# --- layout ------------------------------------------------------------------------------------


def layered(names: Sequence[str], edges: Sequence[Edge]) -> Layout:
    """Rows by the longest way from the bottom, and columns that keep edges short.

    Args:
        names: in an order in which everything stands after what it uses; names that only edges
            mention stand in the row below their lowest user.
    """
    rows = _rows(names, edges)
    paths = {edge: _path(edge, rows) for edge in dict.fromkeys(edges)}
    order: dict[int, list[str]] = {}
    for name, row in rows.items():
        order.setdefault(row, []).append(name)
    for points in paths.values():
        for row, name in enumerate(points[1:-1], rows[points[0]] + 1):
            order[row].append(name)
    neighbours: dict[str, list[str]] = {name: [] for names in order.values() for name in names}
    for points in paths.values():
        for lower, upper in pairwise(points):
            neighbours[lower].append(upper)
            neighbours[upper].append(lower)
    return Layout(_ordered(order, neighbours), paths)


def _rows(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    users: dict[str, list[str]] = {}
    uses: dict[str, list[str]] = {name: [] for name in names}
    for used, user in edges:
        users.setdefault(used, []).append(user)
        uses[user].append(used)
    rows: dict[str, int] = {}
    for name in names:
        rows[name] = 1 + max((rows.get(used, 0) for used in uses[name]), default=0)
    raw = {name: min(rows[user] for user in users[name]) - 1 for name in users if name not in rows}
    rows |= raw
    lowest = min(rows.values())
    return {name: row - lowest for name, row in rows.items()}


def _path(edge: Edge, rows: Mapping[str, int]) -> list[str]:
    """Names of the edge's points, one in each row."""
    used, user = edge
    between = range(rows[used] + 1, rows[user])
    return [used, *(f"{used}>{user}@{row}" for row in between), user]


def _ordered(
    order: dict[int, list[str]], neighbours: Mapping[str, Sequence[str]]
) -> dict[str, tuple[float, int]]:
    """Places after some passes of sorting each row by the mean place of its neighbours."""
    widest = max(map(len, order.values()))

    def spread(row: int) -> dict[str, tuple[float, int]]:
        shift = (widest - len(order[row])) / 2
        return {name: (number + shift, row) for number, name in enumerate(order[row])}

    places = {name: place for row in order for name, place in spread(row).items()}
    for attempt in range(PASSES):
        for row in sorted(order, reverse=attempt % 2 == 1):
            means = {name: _mean(name, neighbours[name], places) for name in order[row]}
            order[row].sort(key=means.__getitem__)
            places |= spread(row)
    return places


def _mean(name: str, neighbours: Sequence[str], places: Mapping[str, tuple[float, int]]) -> float:
    near = neighbours or [name]
    return sum(places[other][0] for other in near) / len(near)
