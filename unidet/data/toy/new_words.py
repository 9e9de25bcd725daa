"""Words that the toy world has never met: ten of its novel names, called otherwise.

CLIP has read every word of the toy world, so even a novel name means something to it. These are in
no caption: what they mean can be learned from labelled images alone.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from unidet.data.toy.vocabulary import label_space
from unidet.records import Split

WORDS = (
    *("blicket", "dax", "fep", "gazzer", "koba"),
    *("modi", "toma", "tulver", "wug", "zup"),
)


def new_words() -> dict[str, str]:
    """Each name of the space `new` -> its new word, both in alphabetical order."""
    return dict(zip(label_space("new").names, WORDS, strict=True))


def in_new_words(split: Split) -> Split:
    """A split whose ten names are the new words."""
    words = new_words()
    categories = tuple(
        replace(category, name=words.get(category.name, category.name))
        for category in split.categories
    )
    return replace(split, categories=categories)


def rewrite_ground_truth(path: Path) -> None:
    """Put the new words into a split's JSON."""
    words = new_words()
    table = json.loads(path.read_text(encoding="utf-8"))
    for category in table["categories"]:
        word = words.get(category["name"])
        if word is not None:
            category |= {"name": word, "synset": f"{word}.n.01", "synonyms": [word]}
    path.write_text(json.dumps(table, separators=(",", ":")), encoding="utf-8")
