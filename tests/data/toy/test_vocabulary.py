from __future__ import annotations

import numpy as np
import pytest

from unidet.data.toy.vocabulary import (
    ANY,
    COLOURS,
    SHAPES,
    TEMPLATES,
    TEXTURES,
    attributes_of,
    combination_index,
    combination_weights,
    combinations,
    compatible,
    label_space,
    name_of,
    sample_captions,
)

STRIPED_RED_STAR = (SHAPES.index("star"), COLOURS.index("red"), TEXTURES.index("striped"))


def word_counts(space: str) -> list[int]:
    """How many names of one, two and three words."""
    lengths = [len(name.split()) for name in label_space(space).names]
    return [lengths.count(words) for words in (1, 2, 3)]


def test_the_label_spaces_have_the_sizes_of_the_recipe() -> None:
    assert word_counts("a") == [6, 24, 0]
    assert word_counts("b") == [0, 8, 56]
    assert word_counts("val") == [5, 18, 49]
    val = label_space("val")
    novel = [name for name, new in zip(val.names, val.is_novel, strict=True) if new]
    assert [sum(len(n.split()) == words for n in novel) for words in (1, 2, 3)] == [2, 6, 20]
    assert len(set(label_space("a").names) & set(label_space("b").names)) == 8


def test_novel_names_are_in_neither_training_dataset() -> None:
    val = label_space("val")
    trained = {*label_space("a").names, *label_space("b").names}
    for name, new in zip(val.names, val.is_novel, strict=True):
        assert (name not in trained) == new


def test_things_with_a_novel_pair_or_bare_name_carry_no_label_at_all() -> None:
    val = label_space("val")
    novel = [
        triple
        for triple, new in zip(val.attributes, val.is_novel, strict=True)
        if new and triple[2] == ANY
    ]
    assert len(novel) == 8
    for triple in novel:
        covered = compatible(triple[None], combinations())[0]
        for space in "a", "b":
            assert (label_space(space).label_of[covered] == -1).all()


@pytest.mark.parametrize("space", ["a", "b", "val"])
def test_no_object_fits_two_names_of_one_space(space: str) -> None:
    names = label_space(space)
    for row, (shape, colour, texture) in enumerate(combinations()):
        fitting = [
            label
            for label, name in enumerate(names.names)
            if set(name.split()) <= {SHAPES[shape], COLOURS[colour], TEXTURES[texture]}
        ]
        assert fitting == [label for label in [names.label_of[row]] if label >= 0]


def test_names_are_words_in_the_order_of_speech() -> None:
    assert name_of(STRIPED_RED_STAR) == "striped red star"
    assert name_of((SHAPES.index("ring"), COLOURS.index("blue"), ANY)) == "blue ring"
    assert attributes_of("striped red star") == STRIPED_RED_STAR
    assert attributes_of("dotted ring") == (SHAPES.index("ring"), ANY, TEXTURES.index("dotted"))
    for triple in combinations():
        assert attributes_of(name_of(triple)) == tuple(triple)


@pytest.mark.parametrize("name", ["red", "mauve star", "red striped star", ""])
def test_other_words_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"not in|is not a name"):
        attributes_of(name)


def test_a_caption_is_true_of_what_has_the_attributes_it_says() -> None:
    objects = np.array([attributes_of("striped red star"), attributes_of("solid red ring")])
    captions = np.array([attributes_of(n) for n in ("star", "red ring", "striped red star")])
    assert compatible(captions, objects).tolist() == [[True, False], [False, True], [True, False]]
    assert compatible(captions[:0], objects).shape == (0, 2)


def test_combinations_know_their_own_row() -> None:
    assert combination_index(combinations()).tolist() == list(range(540))


def test_objects_draw_a_name_by_zipf_and_else_evenly() -> None:
    assert combination_weights(None) == pytest.approx(1 / 540)
    a = label_space("a")
    # The most frequent of 30 names: 1 / sum of k^-0.7, times 0.95, plus its even share of 0.05.
    top = int(a.weights.argmax())
    share = 0.95 / sum(k**-0.7 for k in range(1, 31))
    covered = a.label_of == top
    expected = share + 0.05 * covered.sum() / 540
    assert combination_weights("a")[covered].sum() == pytest.approx(expected)


def test_captions_leave_out_a_quarter_of_colours_and_of_textures() -> None:
    objects = combinations()[np.arange(4000) % 540]
    texts, said = sample_captions(objects, np.random.default_rng(0))
    assert (said[:, 0] == objects[:, 0]).all()
    # Four standard errors of a share of 0.25 among 4000.
    assert (said[:, 1:] == ANY).mean(axis=0) == pytest.approx(0.25, abs=0.028)
    assert ((said == ANY) | (said == objects)).all()
    for text, triple in zip(texts, said, strict=True):
        assert text in {template.format(name_of(triple)) for template in TEMPLATES}
    assert sample_captions(objects, np.random.default_rng(0))[0] == texts
    assert sample_captions(objects[:0], np.random.default_rng(0))[0] == []
