"""The words of the toy world: what things are called, and in which dataset.

An object has three attributes; a name says one, two or all of them: `star`, `red star`,
`striped red star`. A name fits every object that has the attributes it says.

Four label spaces, each an antichain: no object fits two names of one space, so every object
carries one label there, or none, and the label is a function of what it looks like. The names of
`new` are novel ones of val, for fine-tuning.

    space  names   bare shapes   colour-shape pairs   triples
    a       30          6                24              -
    b       64          -                 8 (of a)       56
    val     72     3 + 2 novel       12 + 6 novel   29 + 20 novel
    new     10          2                 6               2

Letters: C names of a space, K objects, ANY = an attribute that a name leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

SHAPES = (
    "circle", "square", "star", "heart", "arrow", "cross",
    "triangle", "moon", "hourglass", "arch",
    "ring", "bolt",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown")
TEXTURES = ("solid", "striped", "dotted", "checkered", "framed")
COMBINATIONS = len(SHAPES) * len(COLOURS) * len(TEXTURES)
ANY = -1

# What the shapes are for. Bare names of dataset a; those whose colours a tells apart; novel ones.
_BARE, _PAIRED, _NOVEL = range(6), range(6, 10), range(10, 12)
_VAL_BARE = range(3)  # base bare names of val; the triples of val are of the other shapes

TEMPLATES = (
    "{}",
    "a {}",
    "a photo of a {}",
    "a picture of a {}",
    "there is a {}",
    "one {} in a scene",
)

# In any scene this share of the objects is drawn evenly from all combinations: so novel things
# are seen in training as often as chance has it, without their name.
EVEN_SHARE = 0.05
ZIPF = 0.7

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSpace:
    """The C names of one dataset in alphabetical order.

    Attributes:
        names: C names.
        attributes: (C, 3) int64 shape, colour, texture, or ANY.
        weights: (C,) float64, Zipf's law with exponent 0.7 over ranks drawn once; sums to 1.
        is_novel: (C,) bool, whether neither dataset a nor b has the name.
        label_of: (540,) int64, by `combination_index`: the one name that fits, or -1.
    """

    names: tuple[str, ...]
    attributes: np.ndarray
    weights: np.ndarray
    is_novel: np.ndarray
    label_of: np.ndarray


def combinations() -> np.ndarray:
    """(540, 3) int64: every shape, colour, texture; row `combination_index` of itself."""
    counts = (len(SHAPES), len(COLOURS), len(TEXTURES))
    return np.stack(np.unravel_index(np.arange(COMBINATIONS), counts), axis=1)


def combination_index(attributes: np.ndarray) -> np.ndarray:
    """(K,) position among the 540 of (K, 3) complete attributes."""
    shape, colour, texture = np.asarray(attributes).T
    return (shape * len(COLOURS) + colour) * len(TEXTURES) + texture


def name_of(attributes: np.ndarray | Triple) -> str:
    """`striped red star` of (shape, colour, texture); an attribute that is ANY is left out."""
    shape, colour, texture = (int(value) for value in attributes)
    words = [TEXTURES[texture]] if texture != ANY else []
    words += [COLOURS[colour]] if colour != ANY else []
    return " ".join([*words, SHAPES[shape]])


def attributes_of(name: str) -> Triple:
    """(shape, colour, texture) of a name as `name_of` writes it.

    Raises:
        ValueError: a word that the toy world does not have, or no shape at the end.
    """
    *words, shape = name.split(" ")
    colour = COLOURS.index(words.pop()) if words and words[-1] in COLOURS else ANY
    texture = TEXTURES.index(words.pop()) if words else ANY
    if words:
        raise ValueError(f"{name!r} is not a name of the toy world")
    return SHAPES.index(shape), colour, texture


def compatible(captions: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Whether each caption is true of each object.

    Args:
        captions: (N, 3) attributes that the captions say, ANY where one is left open.
        objects: (K, 3) complete attributes.

    Returns:
        (N, K) bool.
    """
    said = np.asarray(captions)[:, None, :]
    return ((said == ANY) | (said == np.asarray(objects)[None])).all(axis=2)


@cache
def label_space(name: str) -> LabelSpace:
    """The space `a`, `b`, `val` or `new`; the same in every run, whatever the seed.

    Raises:
        KeyError: no such space.
    """
    spaces = _choose_names()
    labelled = set(spaces["a"]) | set(spaces["b"])
    triples = sorted(spaces[name], key=name_of)
    attributes = np.array(triples)
    fits = compatible(attributes, combinations())
    if fits.sum(axis=0).max() > 1:
        raise AssertionError(f"two names of space {name!r} fit one object")
    is_novel = np.array([triple not in labelled for triple in triples])
    weights = _ranks(is_novel) ** -ZIPF
    return LabelSpace(
        names=tuple(name_of(triple) for triple in triples),
        attributes=attributes,
        weights=weights / weights.sum(),
        is_novel=is_novel,
        label_of=np.where(fits.any(axis=0), fits.argmax(axis=0), -1),
    )


@cache
def combination_weights(space: str | None) -> np.ndarray:
    """(540,) probability of each combination in the scenes of a space; even where it is None.

    An object first draws a name of the space, then the open attributes evenly; or, with
    probability EVEN_SHARE, all attributes evenly.
    """
    even = np.full(COMBINATIONS, 1 / COMBINATIONS)
    if space is None:
        return even
    labels = label_space(space)
    fits = compatible(labels.attributes, combinations())
    shares = fits / fits.sum(axis=1, keepdims=True)
    return EVEN_SHARE * even + (1 - EVEN_SHARE) * labels.weights @ shares


def sample_captions(
    attributes: np.ndarray, rng: np.random.Generator, drop: float = 0.25
) -> tuple[list[str], np.ndarray]:
    """One caption per object: a template about a name that leaves out attributes at random.

    Args:
        attributes: (K, 3) complete attributes.
        drop: probability with which colour, and likewise texture, is left out. The shape stays.

    Returns:
        K captions, and the (K, 3) attributes they say, for `compatible`.
    """
    said = np.array(attributes, np.int64).reshape(-1, 3)
    said[:, 1:][rng.random((len(said), 2)) < drop] = ANY
    templates = rng.integers(len(TEMPLATES), size=len(said))
    texts = [
        TEMPLATES[template].format(name_of(triple))
        for template, triple in zip(templates, said, strict=True)
    ]
    return texts, said


def _ranks(is_novel: np.ndarray) -> np.ndarray:
    """(C,) 1..C at random, novel names spread evenly from the frequent to the rare."""
    rng = np.random.default_rng((1, len(is_novel)))
    places = np.empty(len(is_novel))
    for group in (np.flatnonzero(is_novel), np.flatnonzero(~is_novel)):
        places[group] = (rng.permutation(len(group)) + 0.5) / max(len(group), 1)
    return np.argsort(np.argsort(places, kind="stable"), kind="stable") + 1


def _choose_names() -> dict[str, list[Triple]]:
    """The names of the four spaces, so chosen that each space is an antichain.

    Novel bare shapes and novel pairs have no finer name in a or b either: what they cover is
    never labelled at all. A novel triple may carry its coarser name in a, as `star` or `red moon`.
    """
    rng = np.random.default_rng(2303)
    colours = {shape: rng.permutation(len(COLOURS)) for shape in _PAIRED}
    a_pairs = _pairs(colours, 0, 6)
    b_pairs, val_pairs = _pairs(colours, 0, 2), _pairs(colours, 0, 3)
    novel_pairs = _pairs(colours, 6, 7) + _pairs(dict(list(colours.items())[:2]), 7, 8)

    # Triples are of bare shapes, or of a colour whose pair neither b nor val names.
    free = {
        shape: [
            (shape, colour, texture)
            for colour in range(len(COLOURS))
            for texture in range(len(TEXTURES))
            if not {(shape, colour, ANY)} & {*val_pairs, *novel_pairs}
        ]
        for shape in (*_BARE, *_PAIRED)
    }
    triples = {shape: [free[shape][i] for i in rng.permutation(len(free[shape]))] for shape in free}
    val_shapes = [shape for shape in triples if shape not in _VAL_BARE]
    in_b = {shape: 4 if shape in _VAL_BARE else 8 if shape in _BARE else 5 for shape in triples}
    b_triples = [triple for shape in triples for triple in triples[shape][: in_b[shape]]]
    both = [triple for triple in b_triples if triple[0] in val_shapes]
    val_triples = [both[i] for i in rng.permutation(len(both))[:29]]
    novel_triples = [
        triple
        for shape in val_shapes
        for triple in triples[shape][in_b[shape] : in_b[shape] + (4 if shape in _BARE else 2)]
    ]

    val_bare: list[Triple] = [(shape, ANY, ANY) for shape in (*_VAL_BARE, *_NOVEL)]
    return {
        "a": [(shape, ANY, ANY) for shape in _BARE] + a_pairs,
        "b": b_pairs + b_triples,
        "val": val_bare + val_pairs + novel_pairs + val_triples + novel_triples,
        "new": val_bare[-2:] + novel_pairs + novel_triples[-2:],
    }


def _pairs(colours: dict[int, np.ndarray], first: int, last: int) -> list[Triple]:
    return [(shape, int(c), ANY) for shape, order in colours.items() for c in order[first:last]]
