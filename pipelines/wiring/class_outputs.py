"""The outputs for classes of a network that starts from weights: those of equal names are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

import numpy as np

from unidet.console.terminal import say
from unidet.counts import counted
from unidet.errors import UserError
from unidet.pipelines.wiring.starting_weights import ClassOutputs
from unidet.vocabularies.vocabulary import Entry, Known, names_by_number

Arrays: TypeAlias = "Mapping[str, np.ndarray]"
Names: TypeAlias = "Sequence[str | None]"
Places: TypeAlias = "list[int | None]"
"""For each output the one of the file that it starts from, None for a new one."""
_SHOWN = 3
CLASS_ROWS = {
    "nanodet_plus": ("head.predict.0.weight", 32),  # beside 8 bins for each of four sides
    "rtdetr": ("decoder.enc_score_head.weight", 0),
    "detr": ("class_embed.weight", 1),  # "no object"
}
"""Kind of a network -> the array with a row for each class, and its rows that are none."""


def with_own_classes(
    arrays: Arrays, own: Arrays, outputs: ClassOutputs, in_file: Names, *, is_trained_further: bool
) -> dict[str, np.ndarray]:
    """The arrays of a file as a network with these outputs has them.

    An array that tells classes apart begins with a row for each. Those come from the output of
    that name in the file, else from `own`, the arrays of the network; the rows behind them (sides
    of boxes, no object) are the file's. Arrays that differ otherwise stay as they are.

    Args:
        in_file: the names of the file's outputs, None for one that stands for nothing; empty if it
            has none: then 80 and other numbers of published outputs are those.

    Raises:
        UserError: the network is not trained further, and the file has no output for a name.
    """
    rows = [name for name in own if name in arrays and _matches(name, outputs.arrays)]
    if any(arrays[name].shape[1:] != own[name].shape[1:] for name in rows):
        return dict(arrays)
    classes = max(len(outputs.names), 1)
    counts = {len(arrays[name]) - len(own[name]) + classes for name in rows}
    if len(counts) != 1:
        return dict(arrays)
    (count,) = counts
    places = _places(outputs.names, count, in_file, is_trained_further)
    if places is None or places == list(range(count)):
        return dict(arrays)
    _tell(places, count)
    return {**arrays, **{name: _rows(arrays[name], own[name], places, count) for name in rows}}


def _rows(array: np.ndarray, own: np.ndarray, places: Places, count: int) -> np.ndarray:
    heads = [own[at] if place is None else array[place] for at, place in enumerate(places)]
    return np.concatenate([np.stack(heads).astype(array.dtype), array[count:]])


def _places(names: Names, count: int, in_file: Names, is_trained_further: bool) -> Places | None:
    """None to take the file's outputs as they are."""
    if not names:
        return None if count == 1 else [None]
    own = named_outputs(in_file, count)
    has_names = bool(own)
    places = _by_name(names, own or names_by_number(count))
    missing = [name for name, at in zip(names, places, strict=True) if name and at is None]
    if not missing or (is_trained_further and (has_names or len(missing) < len(names))):
        return places
    if has_names:
        raise UserError(
            f"has outputs for {_some(in_file)}, none for {missing[0]!r}; train it further, or "
            "begin data.training with a set of its names"
        )
    if count == len(names):
        say(f"  weights without names for their outputs: taken by position, as {_some(names)}")
        return None
    return places if is_trained_further else None


def named_outputs(in_file: Names, count: int) -> Names:
    """The names in a file of so many outputs; none, which is said, where they are of others."""
    if in_file and len(in_file) != count:
        named = counted(len(in_file), "class", "classes")
        say(
            f"  the weights name {named} ({_some(in_file)}) and have {counted(count, 'output')}: "
            "which is which is not known, so their names are passed over"
        )
        return ()
    return in_file


def _by_name(names: Names, known: Names) -> Places:
    """What stands for nothing starts from what stands for nothing at its place."""
    places = [at for at, name in enumerate(known) if name is not None]
    by_name = Known(name for name in known if name is not None)

    def place_of(at: int, name: str | None) -> int | None:
        if name is None:
            return at if at < len(known) and known[at] is None else None
        found = by_name.place(Entry(name))
        return None if found is None else places[found]

    return [place_of(at, name) for at, name in enumerate(names)]


def kept_outputs(names: Sequence[str], count: int, in_file: Names) -> str:
    """What outputs of these names take over from weights with `count` outputs, in a line."""
    has = f"has outputs for {counted(count, 'class', 'classes')}"
    known = named_outputs(in_file, count) or names_by_number(count)
    if not known and count == len(names):
        return f"{has} and no names: taken by position, as {_some(names)}"
    new = [name for name, at in zip(names, _by_name(names, known), strict=True) if at is None]
    if not new:
        return f"{has}, those of your {counted(len(names), 'name')} among them"
    kept = len(names) - len(new)
    return f"{has}, {kept} of your {counted(len(names), 'name')} among them; new are {_some(new)}"


def _tell(places: Places, count: int) -> None:
    new = places.count(None)
    taken = f"{counted(len(places) - new, 'output')} by name" if new < len(places) else ""
    made = f"{new} new" if new else ""
    start = f"starts from weights for {counted(count, 'class', 'classes')}"
    say(f"  {start}: {', '.join(filter(None, (taken, made)))}")


def _some(names: Names) -> str:
    shown = [repr(name) for name in names if name is not None]
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
