"""Embeddings that a person brings: by name, or by row in an order that may be another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.pipelines.wiring.ready_embeddings import empty_note, order_note, read_ready, same_note
from unidet.vocabularies.vocabulary import shipped

NPY = Path("objects365.npy")


def test_embeddings_with_names_are_taken_by_name(tmp_path: Path) -> None:
    file = tmp_path / "names.npz"
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez(file, embeddings=vectors, names=np.array(["cat", "dog", "fox"]))
    np.testing.assert_array_equal(read_ready(file, ["fox", "cat"]), vectors[[2, 0]])
    with pytest.raises(UserError, match=r"no embedding of 'owl' \(1 of 2 names are missing\)"):
        read_ready(file, ["cat", "owl"])


def test_embeddings_of_zeros_are_noted() -> None:
    vectors = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, -0.0]])
    assert empty_note(NPY, ["cat", "dog", "fox"], vectors) == (
        "objects365.npy: 2 of 3 embeddings are zero, first that of 'cat'; such a name matches "
        "nothing"
    )
    assert empty_note(NPY, ["dog"], vectors[1:2]) == empty_note(NPY, [], vectors[:0]) == ""


def test_names_with_one_embedding_are_noted() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    names = ["cat", "dog", "fox", "owl", "elk"]
    assert same_note(NPY, names, vectors) == (
        "objects365.npy: 1 of 5 embeddings are another name's too, first that of 'fox', the "
        "same as of 'cat'; such names cannot be told apart"
    )
    assert same_note(NPY, names[:2], vectors[:2]) == same_note(NPY, [], vectors[:0]) == ""


@pytest.mark.parametrize("name", ["coco", "objects365", "lvis_v1", "openimages"])
def test_published_names_in_their_order_need_no_note(name: str) -> None:
    """In the annotations' own spelling too."""
    entries = shipped(name).entries
    assert order_note(NPY, [entry.name for entry in entries]) == ""
    assert order_note(NPY, [entry.words[-1].upper() for entry in entries]) == ""


def test_published_names_in_another_order_are_noted() -> None:
    names = [name.lower() for name in shipped("objects365").names]
    moved = [*names[:3], *names[4:], names[3]]  # as v1: "other shoes" comes later than in v2
    said = order_note(NPY, moved)
    assert "row 4 is 'hat'; as published that is row 5 (362 rows differ)" in said
    assert order_note(Path("objects365.npz"), moved) == ""
    assert order_note(NPY, [f"thing {row}" for row in range(365)]) == ""
    assert order_note(NPY, moved[1:]) == ""
