"""Any checkpoint, official or ours, in one call: `open_weights`.

A new layout: a module beside this one that spells out the official names and shapes, and one line
in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unidet.errors import UserError
from unidet.weights.class_names import metadata, read_class_names
from unidet.weights.layouts import (
    clip,
    detr,
    mmdet,
    nanodet_plus,
    nanodet_plus_ncnn,
    regionclip,
    rtdetr,
    torchvision,
    unidetector,
)
from unidet.weights.layouts.foreign import whose
from unidet.weights.layouts.layout import Layout, Problems, Weights, from_ours, shapes_of, to_ours
from unidet.weights.ncnn import is_ncnn, read_ncnn
from unidet.weights.read import read_checkpoint
from unidet.weights.wrappers import Unwrapped, unwrapped
from unidet.weights.write import metadata_of, write_safetensors

LAYOUTS: tuple[Layout, ...] = (
    unidetector.STAGE1,
    unidetector.STAGE1_RPN,
    unidetector.STAGE2,
    unidetector.STAGE2_PARTITIONED,
    unidetector.END2END,
    unidetector.END2END_PARTITIONED,
    mmdet.FASTER_RCNN,
    *regionclip.LAYOUTS,
    *clip.LAYOUTS,
    *torchvision.RESNETS,
    *torchvision.SHUFFLENETS,
    nanodet_plus.M,
    nanodet_plus.M_1_5X,
    *rtdetr.LAYOUTS,
    *rtdetr.BACKBONES,
    detr.R50,
)
LAYOUT_KEY = "layout"
"""Under it the metadata of a file of ours says which layout it was read from."""
_MOST_PARTS = 9
"""A file whose names begin in more ways holds no few networks side by side."""


class NoLayout(UserError):
    """A checkpoint whose names are of no layout, perhaps of a network of the user's own."""


def layout_named(name: str) -> Layout:
    """UserError with the list where there is none of that name."""
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise UserError(f"--layout: there is no {name!r}; there are {_names(LAYOUTS)}")


def open_weights(
    path: str | Path, *, layout: str | None = None, network: str | None = None
) -> Weights:
    """The weights in any file that `read_checkpoint` knows, or in ncnn's two, under our names.

    Args:
        layout: name of the layout, where it should not be recognized; for a file of ours, of the
            one it is to be written as.
        network: only layouts of this network of ours are considered ("cln_r50_fpn").

    Raises:
        UserError: unreadable; of no layout or of several; names missing, unexpected or mis-shaped;
            NaN or infinite values.
    """
    arrays = _arrays(Path(path))
    named = layout or metadata(Path(path)).get(LAYOUT_KEY)
    candidates = [layout_named(named)] if named else _layouts_of(network)
    try:
        if network and candidates[0].network != network:
            raise UserError(f"holds weights of {candidates[0].network}, not of {network}")
        reading = recognize(shapes_of(arrays), candidates)
        if reading.layout is detr.R50 and reading.is_official:
            detr.refuse_dilated(Path(path))
        read = Layout.from_official if reading.is_official else from_ours
        weights = read(reading.layout, reading.way.of(arrays))
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error
    classes = read_class_names(Path(path))
    return replace(weights, removed=reading.way.removed, classes=classes)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Under official names or ours. Only NanoDet-Plus is known as an ncnn network."""
    if not is_ncnn(path):
        return read_checkpoint(path)
    convolutions = read_ncnn(path)
    try:
        return nanodet_plus_ncnn.official_arrays(convolutions)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


@dataclass(frozen=True)
class Reading:
    """The problems of a file read as `layout`, under official names or ours, without wrappers."""

    layout: Layout
    is_official: bool
    problems: Problems
    way: Unwrapped

    def __str__(self) -> str:
        whose = "official names" if self.is_official else "our names"
        names = ", ".join(filter(None, (whose, str(self.way))))
        return f"{self.layout.name} ({names}): {self.problems}"


def recognize(shapes: Mapping[str, tuple[int, ...]], candidates: Sequence[Layout]) -> Reading:
    """By names, official or ours; shapes tell equal names apart. What wrappers add to names is
    taken off only where the rest then fits.

    Raises:
        UserError: none or several; it lists all and what the nearest one misses.
    """
    tried: list[Reading] = []
    for way in unwrapped(shapes):
        readings = _readings(way, shapes, candidates)
        if named := [reading for reading in readings if not reading.problems.names]:
            return _one_of(named)
        tried += readings
    nearest = _nearest(tried)
    if not _is_near(nearest) and (whole := list(_whole_parts(shapes, candidates))):
        raise UserError(f"holds networks below {' and '.join(whole)}; save one of them alone")
    foreign = whose(shapes)
    kind = UserError if foreign else NoLayout
    raise kind(_no_layout(tried, nearest, foreign))


def _whole_parts(
    shapes: Mapping[str, tuple[int, ...]], candidates: Sequence[Layout]
) -> Iterator[str]:
    """The networks inside a file, by the first component of their names: a teacher and a student, a
    detector and its criterion.
    """
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        first, _, rest = name.partition(".")
        parts.setdefault(first, {})[rest] = shape
    if len(parts) > _MOST_PARTS:
        return
    for first, own in parts.items():
        for way in unwrapped(own):
            if any(not reading.problems.names for reading in _readings(way, own, candidates)):
                yield f"{first}."
                break


def _readings(
    way: Unwrapped, shapes: Mapping[str, tuple[int, ...]], candidates: Sequence[Layout]
) -> list[Reading]:
    bare = way.of(shapes)
    return [
        *(Reading(layout, True, layout.problems(bare), way) for layout in candidates),
        *(Reading(layout, False, layout.our_problems(bare), way) for layout in candidates),
    ]


def _one_of(named: Sequence[Reading]) -> Reading:
    """UserError where the shapes leave several networks."""
    fitting = [reading for reading in named if not reading.problems] or named
    if len({reading.layout.network for reading in fitting}) > 1:
        layouts = _names([reading.layout for reading in fitting])
        raise UserError(f"fits the names of {layouts}; choose one with --layout NAME")
    return fitting[0]


def _is_near(reading: Reading) -> bool:
    """Whether most names of the file are the layout's."""
    return 2 * len(reading.problems.unexpected) < len(reading.way.names)


def _nearest(readings: Sequence[Reading]) -> Reading:
    return min(
        readings,
        key=lambda reading: (
            not _is_near(reading),
            len(reading.way.removed),
            reading.problems.names,
        ),
    )


def _no_layout(readings: Sequence[Reading], nearest: Reading, foreign: str) -> str:
    """The message; `foreign` says whose names they are, where that is known."""
    tried = list(dict.fromkeys(reading.layout for reading in readings))
    if len(tried) == 1:
        return f"does not fit {nearest}"
    fits = "fits no layout" if len(tried) == len(LAYOUTS) else f"fits none of {_names(tried)}"
    if _is_near(nearest):
        return f"{fits}; nearest is {nearest}; docs/convert.md lists all layouts"
    if foreign:
        return f"{fits}: is {foreign}; docs/convert.md lists all layouts"
    return (
        f"{fits}, and most of its names are of none; docs/convert.md lists all layouts; a network "
        "of ours of another size than the official one has no official form"
    )


def write_ours(path: str | Path, weights: Weights) -> None:
    """A `.safetensors` file of ours; `open_weights` gives the same weights."""
    named = {LAYOUT_KEY: weights.layout.name, **metadata_of(weights.classes)}
    write_safetensors(path, to_ours(weights), named)


def _layouts_of(network: str | None) -> list[Layout]:
    layouts = [layout for layout in LAYOUTS if network in (None, layout.network)]
    if not layouts:
        networks = ", ".join(dict.fromkeys(layout.network for layout in LAYOUTS))
        raise UserError(f"there are no layouts for {network!r}; there are some for {networks}")
    return layouts


def _names(layouts: Sequence[Layout]) -> str:
    return ", ".join(layout.name for layout in layouts)
