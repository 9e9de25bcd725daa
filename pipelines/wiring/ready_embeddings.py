"""Text embeddings that a person brings: an array by row, or one by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def read_ready(path: Path, names: Sequence[str]) -> np.ndarray:
    """(C, D) float32 for these names in their order: by name of a `.npz`, by row of a `.npy`.

    Raises:
        UserError: the file cannot be read, has no embedding of a name or another number of rows.
    """
    from unidet.formats.embeddings import read_embeddings, read_named_embeddings

    if path.suffix.lower() != ".npz":
        return read_embeddings(path, len(names))
    vectors, known = read_named_embeddings(path)
    rows = {name: row for row, name in reversed([*enumerate(known)])}
    missing = [name for name in names if name not in rows]
    if missing:
        raise UserError(
            f"{path}: has no embedding of {missing[0]!r} ({len(missing)} of {len(names)} names are "
            "missing)"
        )
    return vectors[[rows[name] for name in names]]


def empty_note(path: Path, names: Sequence[str], vectors_CD: np.ndarray) -> str:
    """What to say of embeddings that are zero; empty where none is."""
    empty = [name for name, vector in zip(names, vectors_CD, strict=True) if not vector.any()]
    if not empty:
        return ""
    return (
        f"{path}: {len(empty)} of {len(names)} embeddings are zero, first that of {empty[0]!r}; "
        "such a name matches nothing"
    )


def same_note(path: Path, names: Sequence[str], vectors_CD: np.ndarray) -> str:
    """What to say of names with one embedding, as of a text encoder that was given one text for
    all; empty where each has its own."""
    first: dict[bytes, str] = {}
    again = [
        (name, first[vector.tobytes()])
        for name, vector in zip(names, vectors_CD, strict=True)
        if vector.any() and first.setdefault(vector.tobytes(), name) != name
    ]
    if not again:
        return ""
    name, other = again[0]
    return (
        f"{path}: {len(again)} of {len(names)} embeddings are another name's too, first that of "
        f"{name!r}, the same as of {other!r}; such names cannot be told apart"
    )


def order_note(path: Path, names: Sequence[str]) -> str:
    """What to say of rows without names whose vocabulary is a published one in another order, as
    Objects365 v1 is of v2; empty where it is not."""
    from unidet.vocabularies.vocabulary import plain, shipped_of_size

    published = shipped_of_size(len(names))
    if published is None or path.suffix.lower() == ".npz":
        return ""
    rows = {plain(w): row for row, entry in enumerate(published.entries) for w in entry.words}
    places = [rows.get(plain(name), -1) for name in names]
    moved = [row for row, place in enumerate(places) if place not in (row, -1)]
    if len(moved) * 2 <= len(names):
        return ""
    row = moved[0]
    return (
        f"{path}: its rows carry no names and are taken in the order of this set's ids, where row "
        f"{row + 1} is {names[row]!r}; as published that is row {places[row] + 1} ({len(moved)} "
        "rows differ). If the file has the published order, give a .npz of `embeddings` and `names`"
    )
