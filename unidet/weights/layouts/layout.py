"""A layout: the names and shapes of one official checkpoint, and their names in our network.

An official entry has one of three fates. Most become a parameter or buffer of our network. Text
embeddings that stand in for a last layer become vocabularies. What our network has no place for
(`num_batches_tracked`, a classifier's head) is kept aside, so that the way back is bit-exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np

from unidet.errors import UserError

Shape = tuple[int | None, ...]
"""None stands for any length (a number of classes)."""
VOCABULARY = "vocabulary."
KEPT = "kept/"
"""In a file of ours: in front of a vocabulary's number, and of the names of what is kept."""
_SHOWN = 4
_ALWAYS_KEPT = "*.num_batches_tracked"


@dataclass(frozen=True)
class Problems:
    """Why a set of names and shapes does not fit a layout, in the layout's own names."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    @property
    def names(self) -> int:
        """The number of missing and unexpected names."""
        return len(self.missing) + len(self.unexpected)

    def __str__(self) -> str:
        parts = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.misshapen,
        }
        return "; ".join(listed(what, names) for what, names in parts.items() if names)


def listed(what: str, names: Iterable[str]) -> str:
    """`3 missing (a, b, c)`, cut short after a few."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})"


@dataclass(frozen=True)
class Layout:
    """One official checkpoint.

    Attributes:
        name: as `--layout` takes it.
        network: our network that takes the weights.
        summary: a description of the checkpoint, for messages.
        shapes: every official name with its shape, in the official order.
        renames: regular expressions and what each is replaced by, applied in this order, which
            turn an official name into ours; no two names may become one.
        kept: patterns such as "fc.*" of official names that our network has no place for.
        optional: patterns of official names that a checkpoint may lack.
        vocabulary: official name of the text embeddings (D, C + 1) whose last column, the
            background, is zero; with "{}" in it one for each dataset, counted from 0.
        embedding: D, the length of a text embedding.
    """

    name: str
    network: str
    summary: str
    shapes: Callable[[], Mapping[str, Shape]] = field(repr=False)
    renames: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    vocabulary: str | None = None
    embedding: int | None = None

    @cached_property
    def expected(self) -> Mapping[str, Shape]:
        """Official names and shapes, vocabularies left out."""
        return self.shapes()

    @cached_property
    def our_names(self) -> dict[str, str]:
        """Official name -> ours, for the entries our network takes."""
        kept = (_ALWAYS_KEPT, *self.kept)
        return {name: self._renamed(name) for name in self.expected if not _matches(name, kept)}

    def problems(self, shapes: Mapping[str, tuple[int, ...]]) -> Problems:
        """How official `shapes` differ from this layout."""
        vocabularies = self._vocabulary_names(shapes)
        missing = [
            name
            for name in self.expected
            if name not in shapes and not _matches(name, (_ALWAYS_KEPT, *self.optional))
        ]
        if self.vocabulary and self._has_several and not vocabularies:
            missing.append(self.vocabulary.format(0))
        unexpected = [
            name
            for name in shapes
            if name not in self.expected and name not in vocabularies and not self._keeps(name)
        ]
        wanted = {name: shape for name, shape in self.expected.items() if name in shapes}
        wanted |= dict.fromkeys(vocabularies, (self.embedding, None))
        return Problems(tuple(missing), tuple(unexpected), misshapen(shapes, wanted))

    def our_problems(self, shapes: Mapping[str, tuple[int, ...]]) -> Problems:
        """How the `shapes` in a file of ours differ from what this layout can be made of."""
        ours = {mine: self.expected[name] for name, mine in self.our_names.items()}
        optional = {mine for name, mine in self.our_names.items() if _matches(name, self.optional)}
        vocabularies = [name for name in shapes if name.startswith(VOCABULARY)]
        missing = [name for name in ours if name not in shapes and name not in optional]
        if self._has_several and not vocabularies:
            missing.append(f"{VOCABULARY}0")
        spare = 0 if self.vocabulary is None else len(vocabularies) if self._has_several else 1
        unexpected = [
            name
            for name in shapes
            if name not in ours and name not in vocabularies and not name.startswith(KEPT)
        ]
        unexpected += vocabularies[spare:]
        wanted = ours | dict.fromkeys(vocabularies, (None, self.embedding))
        return Problems(tuple(missing), tuple(unexpected), misshapen(shapes, wanted))

    @property
    def _has_several(self) -> bool:
        return self.vocabulary is not None and "{}" in self.vocabulary

    def from_official(self, arrays: Mapping[str, np.ndarray]) -> Weights:
        """Official arrays under our names.

        Raises:
            UserError: names are missing or unexpected, shapes differ, or values are not finite.
        """
        require(self.problems(shapes_of(arrays)), self.name)
        require_finite(arrays)
        vocabularies = self._vocabulary_names(arrays)
        return Weights(
            layout=self,
            arrays={
                self.our_names[name]: arrays[name] for name in arrays if name in self.our_names
            },
            vocabularies=tuple(_without_background(name, arrays[name]) for name in vocabularies),
            kept={
                self._kept_names.get(name, name): arrays[name]
                for name in arrays
                if name not in self.our_names and name not in vocabularies
            },
        )

    def to_official(self, weights: Weights) -> dict[str, np.ndarray]:
        """The inverse, in the official order; entries kept for another layout are left out.

        Raises:
            UserError: our names are missing or unexpected, or shapes differ.
        """
        require(self.our_problems(shapes_of(to_ours(weights))), self.name)
        arrays = {
            name: weights.arrays[mine]
            for name, mine in self.our_names.items()
            if mine in weights.arrays
        } | {
            name: weights.kept[mine]
            for name, mine in self._kept_names.items()
            if mine in weights.kept
        }
        arrays |= {
            name: weights.kept[name] for name in self._unlisted(weights) if self._keeps(name)
        }
        order = {name: place for place, name in enumerate(self.expected)}
        ordered = sorted(arrays, key=lambda name: order.get(name, len(order)))
        return {name: arrays[name] for name in ordered} | {
            str(self.vocabulary).format(index): _with_background(vocabulary)
            for index, vocabulary in enumerate(weights.vocabularies)
        }

    def left_out(self, weights: Weights) -> list[str]:
        """The kept entries of `weights` that have no place in this layout either."""
        return [name for name in self._unlisted(weights) if not self._keeps(name)]

    def _unlisted(self, weights: Weights) -> list[str]:
        """What is kept in `weights` and not among this layout's expected names."""
        listed_names = set(self._kept_names.values())
        return [name for name in weights.kept if name not in listed_names]

    def _keeps(self, name: str) -> bool:
        return _matches(name, self.kept)

    @cached_property
    def _kept_names(self) -> dict[str, str]:
        """Official name -> ours, for the expected entries that our network does not take."""
        return {name: self._renamed(name) for name in self.expected if name not in self.our_names}

    def _vocabulary_names(self, names: Iterable[str]) -> list[str]:
        """The names of vocabularies among `names`, counted from 0 without a gap."""
        if self.vocabulary is None:
            return []
        names = set(names)
        if not self._has_several:
            return [self.vocabulary] if self.vocabulary in names else []
        vocabularies: list[str] = []
        while self.vocabulary.format(len(vocabularies)) in names:
            vocabularies.append(self.vocabulary.format(len(vocabularies)))
        return vocabularies

    def _renamed(self, name: str) -> str:
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


@dataclass(frozen=True)
class Weights:
    """A checkpoint under our names.

    Attributes:
        layout: that it was read as, or would be written as.
        arrays: what `load_into` gives to the network `layout.network`, and nothing else.
        vocabularies: text embeddings (C, D), one array for each dataset of the checkpoint.
        kept: what our network has no place for; under the names it would have there, or under
            its official name where the layout does not list it.
        removed: components of a wrapper's that the file's names had more (`module.`).
        classes: names of the classes, where the file carries them (`read_class_names`).
    """

    layout: Layout
    arrays: dict[str, np.ndarray]
    vocabularies: tuple[np.ndarray, ...] = ()
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    classes: tuple[str | None, ...] = ()

    def part(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names start with `prefix` ("text."), without it."""
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }


def to_ours(weights: Weights) -> dict[str, np.ndarray]:
    """Everything of `weights` in one mapping, as a file of ours holds it."""
    return {
        **weights.arrays,
        **{f"{VOCABULARY}{index}": array for index, array in enumerate(weights.vocabularies)},
        **{KEPT + name: array for name, array in weights.kept.items()},
    }


def from_ours(layout: Layout, arrays: Mapping[str, np.ndarray]) -> Weights:
    """The arrays of a file of ours; the way back from `to_ours`.

    Raises:
        UserError: names are missing or unexpected, shapes differ, or values are not finite.
    """
    require(layout.our_problems(shapes_of(arrays)), layout.name)
    require_finite(arrays)
    count = sum(name.startswith(VOCABULARY) for name in arrays)
    return Weights(
        layout=layout,
        arrays={name: arrays[name] for name in layout.our_names.values() if name in arrays},
        vocabularies=tuple(arrays[f"{VOCABULARY}{index}"] for index in range(count)),
        kept={name.removeprefix(KEPT): arrays[name] for name in arrays if name.startswith(KEPT)},
    )


def shapes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def misshapen(
    shapes: Mapping[str, tuple[int, ...]], wanted: Mapping[str, Shape]
) -> tuple[str, ...]:
    """The names in both whose shapes differ, each with what it is and what it should be."""
    return tuple(
        f"{name} {_written(shapes[name])}, not {_written(shape)}"
        for name, shape in wanted.items()
        if name in shapes and not _fits(shapes[name], shape)
    )


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    # Jittor has no scalars: a number is stored as one element.
    lengths = () if wanted == () and shape == (1,) else shape
    return len(lengths) == len(wanted) and all(
        length is None or length == size for size, length in zip(lengths, wanted, strict=True)
    )


def _written(shape: Shape) -> str:
    return "x".join("C" if length is None else str(length) for length in shape) or "scalar"


def require(problems: Problems, layout: str) -> None:
    if problems:
        raise UserError(f"does not fit the layout {layout}: {problems}")


def require_finite(arrays: Mapping[str, np.ndarray]) -> None:
    broken = [
        name
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    ]
    if broken:
        raise UserError(f"holds NaN or infinite values: {listed('arrays', broken)}")


def _without_background(name: str, array: np.ndarray) -> np.ndarray:
    if array.shape[1] < 2 or array[:, -1].any():
        raise UserError(
            f"{name}: its last column, the background's, is not zero; these are other embeddings"
        )
    return np.ascontiguousarray(array[:, :-1].T)


def _with_background(vocabulary: np.ndarray) -> np.ndarray:
    columns = vocabulary.T
    return np.concatenate([columns, np.zeros_like(columns[:, :1])], axis=1)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
