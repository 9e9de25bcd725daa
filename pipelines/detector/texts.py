"""Embeddings of category names: ready ones, or a text encoder's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unidet.console.terminal import Progress
from unidet.errors import UserError
from unidet.formats.embeddings import read_embeddings, read_named_embeddings
from unidet.vocabularies.vocabulary import (
    Entry,
    Known,
    Vocabulary,
    plain,
    shipped_of_size,
    unit,
)

Encode = Callable[[Sequence[str]], np.ndarray]
"""C names to (C, D) embeddings of any length."""
WORDS_AT_ONCE = 16
"""A minute's work of CLIP's text encoder at most, with 81 prompts each, on a laptop."""
NEEDS_ENCODER = (
    "a text encoder (OpenAI's CLIP) takes any name: --text-encoder FILE, "
    "in Python text_encoder=FILE"
)


class Ready:
    """Embeddings that were made before.

    Args:
        vectors_CD: of any length; zeros are no embedding.
        names: C names, or None where they are not known: the rows are then those of whatever
            vocabulary of C names is asked for.
    """

    def __init__(self, vectors_CD: np.ndarray, names: Sequence[str] | None) -> None:
        self.vectors = unit(vectors_CD)
        self.known = None if names is None else Known(names)

    def row(self, place: int, entry: Entry, count: int) -> np.ndarray | None:
        """The embedding of the entry at `place` of a vocabulary of `count` names, if any."""
        if self.known is not None:
            row = self.known.place(entry)
        else:
            row = place if count == len(self.vectors) else None
        return None if row is None or not self.vectors[row].any() else self.vectors[row]


class Texts:
    """Embeds vocabularies; a name is encoded once.

    Args:
        ready: looked up first.
        open_encoder: opens the text encoder when a first name needs it; None: there is none.
        typical: embeddings that say where names lie, by default the ready ones.
    """

    def __init__(
        self,
        ready: Ready | None,
        open_encoder: Callable[[], Encode] | None,
        typical: Ready | None = None,
    ) -> None:
        self.ready, self.typical = ready, typical or ready
        self._open = open_encoder
        self._encoder: Encode | None = None
        self._encoded: dict[str, np.ndarray] = {}

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the ready embeddings."""
        return self.ready.known.names if self.ready and self.ready.known else None

    def embed(self, vocabulary: Vocabulary) -> np.ndarray:
        """(C, D) float32 of unit length; a name's synonyms count as much as itself.

        Raises:
            UserError: a name has no embedding, or an example's is of another model.
        """
        rows = [self._known(place, vocabulary) for place in range(len(vocabulary))]
        unknown = [
            entry for entry, row in zip(vocabulary.entries, rows, strict=True) if row is None
        ]
        self._encode(unknown, len(vocabulary))
        vectors = [
            self._mean(entry) if row is None else row
            for entry, row in zip(vocabulary.entries, rows, strict=True)
        ]
        if len({vector.shape for vector in vectors}) > 1:
            raise UserError(
                "vocabulary: examples and words have embeddings of different lengths; embed the "
                "examples with this model"
            )
        return np.stack(vectors)

    def _known(self, place: int, vocabulary: Vocabulary) -> np.ndarray | None:
        entry = vocabulary.entries[place]
        if entry.embedding is not None:
            return unit(entry.embedding)
        return self.ready.row(place, entry, len(vocabulary)) if self.ready else None

    def _encode(self, entries: Sequence[Entry], count: int) -> None:
        """Encode the words of these, of a vocabulary of `count`, that were not before, at once."""
        words = [word for entry in entries for word in entry.words if word not in self._encoded]
        if not words:
            return
        if self._open is None:
            raise self._refuse(entries[0], count)
        self._encoder = self._encoder or self._open()
        words = list(dict.fromkeys(words))
        progress = Progress("embedding names")
        for first in range(0, len(words), WORDS_AT_ONCE):
            part = words[first : first + WORDS_AT_ONCE]
            self._encoded.update(zip(part, unit(self._encoder(part)), strict=True))
            progress.update(len(part) + first, len(words))
        progress.close()

    def _mean(self, entry: Entry) -> np.ndarray:
        return unit(np.mean([self._encoded[word] for word in entry.words], axis=0))

    def _refuse(self, entry: Entry, count: int) -> UserError:
        if self.ready is None:
            return UserError(f"vocabulary: {entry.name!r} has no embedding; {NEEDS_ENCODER}")
        known, ready = self.ready.known, len(self.ready.vectors)
        if known is None and count != ready:
            return UserError(
                f"vocabulary: the embeddings are of {ready:,} names that are not known; give "
                f"exactly these, in their order, or a .npz with `embeddings` and `names`"
            )
        if known is None or known.place(entry) is not None:
            return UserError(
                f"vocabulary: the ready embedding of {entry.name!r} is zero, which matches "
                f"nothing; {NEEDS_ENCODER}"
            )
        return known.refuse(entry, NEEDS_ENCODER)


def read_ready(path: Path) -> Ready:
    """Embeddings of a `.npz` (`embeddings`, `names`), or of a `.npy` (rows by category id).

    The names of a `.npy` are those of the shipped vocabulary with as many.

    Raises:
        UserError: not such a file, or values that are not finite.
    """
    if path.suffix == ".npz":
        return Ready(*read_named_embeddings(path))
    return of_size(read_embeddings(path))


def of_size(vectors_CD: np.ndarray) -> Ready:
    """Embeddings without names: those of the shipped vocabulary with as many, if there is one."""
    vocabulary = shipped_of_size(len(vectors_CD))
    return Ready(vectors_CD, vocabulary.names if vocabulary else None)


def together(parts: Sequence[Ready]) -> Ready | None:
    """Several vocabularies as one, a name's first embedding counting; None for no part.

    Where one has no names it is the first part alone.
    """
    if not parts:
        return None
    if any(part.known is None for part in parts):
        return parts[0]
    rows: dict[str, tuple[str, Any]] = {}
    for part in parts:
        assert part.known is not None
        for name, vector in zip(part.known.names, part.vectors, strict=True):
            if vector.any():
                rows.setdefault(plain(name), (name, vector))
    names, vectors = zip(*rows.values(), strict=True)
    return Ready(np.stack(vectors), names)
