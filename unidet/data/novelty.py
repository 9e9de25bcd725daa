"""Which categories of an evaluation set no training set labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from unidet.records import Category


def novel_categories(
    categories: Sequence[Category], training_names: Iterable[str]
) -> dict[int, bool]:
    """Category id -> whether its name is the name of no training category.

    Names are compared by `plain_names`, so that `traffic_light`, `Traffic Light` and
    `mouse_(computer_equipment)`, `mouse` agree. A category that lists a training name among its
    synonyms (LVIS gives them) carries that name: `sofa` is not novel to a dataset that says
    `couch`. Things that differ but share a plain name count as labelled.
    """
    labelled = {plain for name in training_names for plain in plain_names(name)}
    labelled |= {
        plain
        for category in categories
        if any(not labelled.isdisjoint(plain_names(synonym)) for synonym in category.synonyms)
        for plain in plain_names(category.name)
    }
    return {category.id: labelled.isdisjoint(plain_names(category.name)) for category in categories}


def plain_names(name: str) -> set[str]:
    """Lower-case names without underscores and remarks in brackets; 'a/b' is both 'a' and 'b'."""
    bare = re.sub(r"[(\[].*?[)\]]", " ", name.lower().replace("_", " "))
    plain = {" ".join(part.split()) for part in bare.split("/")} - {""}
    return plain or {name.lower()}
