"""Which categories of an evaluation split no training dataset labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from unidet.records import Split


def mark_novel(split: Split, training_names: Iterable[str]) -> Split:
    """The split with `is_novel` set on every category: true where no training name is its name
    or one of its synonyms.

    Names are compared by `plain_names`, so that `traffic_light`, `Traffic Light` and
    `mouse_(computer_equipment)`, `mouse` agree. Without synonyms `sofa` is novel to a dataset that
    says `couch`. Things that differ but share a plain name count as labelled.
    """
    labelled = {plain for name in training_names for plain in plain_names(name)}
    labelled |= {
        plain
        for category in split.categories
        if any(not labelled.isdisjoint(plain_names(synonym)) for synonym in category.synonyms)
        for plain in plain_names(category.name)
    }
    categories = tuple(
        replace(category, is_novel=labelled.isdisjoint(plain_names(category.name)))
        for category in split.categories
    )
    return replace(split, categories=categories)


def plain_names(name: str) -> set[str]:
    """Lower-case names without underscores and remarks in brackets; 'a/b' is both 'a' and 'b'."""
    bare = re.sub(r"[(\[].*?[)\]]", " ", name.lower().replace("_", " "))
    plain = {" ".join(part.split()) for part in bare.split("/")} - {""}
    return plain or {name.lower()}
