"""The categories that a detector looks for, as given by the user.

A list of names is a text file with one category a line: its name, then after tabs its synonyms.
Lines that start with `#` are comments; empty lines are ignored. Four lists come with the package
(`SHIPPED`), the files beside this module; each says where it is from.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from unidet.errors import HEAD, UserError, other_kind, require_end, suggestion
from unidet.vocabularies import other_lists

SHIPPED = ("coco", "lvis_v1", "objects365", "openimages")
_COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Numbers among 1 to 90 that are no COCO category."""
COCO_IDS = [number for number in range(1, 91) if number not in _COCO_GAPS]
"""Official ids of the 80 names of `coco`, in their order."""
_SHOWN = 60
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UNDECODED = re.compile(r"[\ud800-\udfff]")  # bytes that were not text where Python read them


@dataclass(frozen=True)
class Entry:
    """One category.

    Attributes:
        name: what its detections are called.
        synonyms: other names of the same thing; they are looked up and embedded with the name.
        embedding: (D,) float32 of unit length in place of the words, from examples; None: words.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    embedding: np.ndarray | None = field(default=None, compare=False)

    @property
    def words(self) -> tuple[str, ...]:
        """The name and its synonyms."""
        return (self.name, *self.synonyms)


@dataclass(frozen=True)
class Vocabulary:
    """Categories in an order; labels of detections are positions in it."""

    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        """What the categories are called."""
        return tuple(entry.name for entry in self.entries)

    @classmethod
    def of(cls, names: Iterable[str] | str | Vocabulary) -> Vocabulary:
        """Names as a list or any other iterable, as text for `parse`, or a vocabulary as it is.

        Raises:
            UserError: as `parse`; other things than texts.
        """
        if isinstance(names, Vocabulary):
            return names
        if isinstance(names, str):
            return cls.parse(names)
        listed = list(names) if isinstance(names, Iterable) else [names]  # a generator, only once
        if not all(isinstance(name, str) for name in listed):
            raise UserError(
                f'names: {names!r:.{_SHOWN}} must be a list of texts, or text like "cat, dog"'
            )
        return _checked("names", [(name.strip(),) for name in listed])

    @classmethod
    def parse(cls, text: str) -> Vocabulary:
        """A list that comes with the package ("coco"), a file, or names: "cat, traffic light".

        Raises:
            UserError: a file that cannot be read, no name, a name that is empty, repeated (case and
                underscores apart) or holds control characters.
        """
        name = text.strip()
        if name in SHIPPED:
            return shipped(name)
        if _is_file(name):
            return cls.read(Path(name))
        other_lists.require_names(name, SHIPPED)
        other_lists.require_commas(name)
        return _checked("vocabulary", [(part.strip(),) for part in text.split(",")])

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """A file of names, one per line, synonyms after tabs.

        Raises:
            UserError: as `parse`; the line is named.
        """
        try:
            require_end(path)
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        if content and (reason := other_kind(content[:HEAD])):
            raise UserError(f"{path}: {reason}")
        try:
            return _from_lines(str(path), content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            wide = " but in UTF-16" if content.startswith(_WIDE) else ""
            raise UserError(f"{path}: is not text in UTF-8{wide}; save it as UTF-8") from None

    def with_example(self, name: str, embeddings_KD: np.ndarray) -> Vocabulary:
        """The category shown instead of named, in the place of one of that name, or at the end.

        Args:
            embeddings_KD: (K, D) of K examples, from `Model.embed`; their mean is the category.

        Raises:
            UserError: no example, or a name as in `parse`.
        """
        if embeddings_KD.ndim != 2 or not len(embeddings_KD):
            raise UserError(
                f"example {name!r}: embeddings have shape {embeddings_KD.shape}, must be "
                "(examples, dimensions) with at least one example"
            )
        mean = unit(unit(embeddings_KD).mean(axis=0))
        entry = Entry(_checked("example", [(name,)]).names[0], (), mean)
        is_shown = [plain(other.name) == plain(name) for other in self.entries]
        others = [
            entry if its else other for its, other in zip(is_shown, self.entries, strict=True)
        ]
        return Vocabulary((*others, *([] if any(is_shown) else [entry])))


class Known:
    """Names that something holds in an order: outputs of a network, rows of an array."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        places = {plain(name): place for place, name in reversed([*enumerate(self.names)])}
        exact = {name: place for place, name in reversed([*enumerate(self.names)])}
        self._places = places | exact  # names that differ in case alone are themselves

    def place(self, entry: Entry) -> int | None:
        """The index of a category: by its name, else by its first known synonym."""
        spellings = (spelling for word in entry.words for spelling in (word, plain(word)))
        known = map(self._places.get, spellings)
        return next((place for place in known if place is not None), None)

    def refuse(self, entry: Entry, advice: str) -> UserError:
        """The message about an unknown category."""
        hint = suggestion(plain(entry.name), self._places)
        some = ", ".join(map(repr, self.names[:3]))
        return UserError(
            f"vocabulary: {entry.name!r} is none of the {len(self.names):,} names that this model "
            f"knows ({some}, …); {hint}{advice}"
        )


def plain(name: str) -> str:
    """A name for comparison, without case and underscores."""
    return " ".join(name.lower().replace("_", " ").split())


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) at unit length, float32; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


@cache
def shipped(name: str) -> Vocabulary:
    """The list of that name that comes with the package."""
    text = resources.files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return _from_lines(name, text)


def shipped_of_size(count: int) -> Vocabulary | None:
    """The shipped list with that many names; they all differ in length."""
    fitting = (shipped(name) for name in SHIPPED)
    return next((vocabulary for vocabulary in fitting if len(vocabulary) == count), None)


def names_by_number(count: int) -> tuple[str | None, ...]:
    """The names of so many outputs of published networks, None for one that stands for nothing;
    empty where no such number is known. DETR has an output for every number up to COCO's last id.
    """
    if count == COCO_IDS[-1] + 1:
        names = dict(zip(COCO_IDS, shipped("coco").names, strict=True))
        return tuple(map(names.get, range(count)))
    vocabulary = shipped_of_size(count)
    return vocabulary.names if vocabulary else ()


def _from_lines(where: str, text: str) -> Vocabulary:
    lines = [
        (number, line)
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
        if line.strip() and not line.startswith("#")
    ]
    other_lists.require_one_a_line(where, [line for _, line in lines])
    words = [tuple(word.strip() for word in line.split("\t")) for _, line in lines]
    return _checked(where, words, [number for number, _ in lines])


def _checked(where: str, words: Sequence[tuple[str, ...]], lines: Sequence[int] = ()) -> Vocabulary:
    """Entries of a name and its synonyms each; `lines` says where in a file they stand."""
    seen: dict[str, str] = {}
    for place, (name, *synonyms) in enumerate(words):
        at = f"{where}, line {lines[place]}" if lines else f"{where}, name {place + 1}"
        for word in (name, *synonyms):
            if not word.strip():
                raise UserError(f"{at}: is empty; write a name, or leave it out")
            if _UNDECODED.search(word):
                raise UserError(
                    f"{at}: {word!r:.{_SHOWN}} is not text in UTF-8, or this terminal's locale is "
                    "not; try again with PYTHONUTF8=1 before the command"
                )
            if not word.isprintable():
                raise UserError(f"{at}: {word!r:.{_SHOWN}} holds control characters")
        if (twin := seen.get(plain(name))) is not None:
            as_other = "" if twin == name else f" as {twin!r:.{_SHOWN}}"
            raise UserError(f"{at}: {name!r:.{_SHOWN}} is there already{as_other}; leave it out")
        seen[plain(name)] = name
    if not words:
        raise UserError(f'{where}: names no category; give them like "cat, traffic light"')
    return Vocabulary(tuple(Entry(name, tuple(synonyms)) for name, *synonyms in words))


def _is_file(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_file()
    except OSError:  # longer than a file name may be
        return False
