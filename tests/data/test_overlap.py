"""What label spaces have in common, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.data.overlap import LabelSpace, overlap, overlaps
from unidet.records import Category


def space(names: str, embeddings: list[list[float]] | None = None) -> LabelSpace:
    categories = [Category(row, name) for row, name in enumerate(names.split())]
    return LabelSpace(categories, None if embeddings is None else np.array(embeddings, np.float32))


def test_names_alone() -> None:
    spaces = {"a": space("cat Dog fox elk"), "b": space("dog_(animal) owl")}
    both = overlaps(spaces)
    assert both["a", "b"].names == ("Dog",)
    assert [entry.shared for entry in both.values()] == [0.25, 0.5]
    assert both["b", "a"].cosine is None
    assert both["b", "a"].nearest == ()


def test_embeddings_find_what_names_do_not() -> None:
    """Lengths do not count: (3, 4) and (0, 2) have the cosine .8, (3, 4) and (5, 0) .6; a name of
    zeros has no embedding."""
    some = space("dog sofa seat none", [[5, 0], [3, 4], [0, 1], [0, 0]])
    others = space("couch dog", [[0, 2], [5, 0]])
    found = overlap(some, others)
    assert found.names == ("dog",)
    assert [pair[:2] for pair in found.nearest] == [("seat", "couch"), ("sofa", "couch")]
    assert [pair[2] for pair in found.nearest] == pytest.approx([1, 0.8])
    assert found.cosine == pytest.approx((1 + 0.8 + 1) / 3)


def test_embeddings_of_different_networks_are_not_compared() -> None:
    found = overlap(space("cat", [[1, 0]]), space("cat", [[1, 0, 0]]))
    assert (found.shared, found.cosine) == (1, None)
