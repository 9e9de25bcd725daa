"""Words that the toy world has never met."""

from __future__ import annotations

import json
from pathlib import Path

from unidet.data.toy.new_words import in_new_words, new_words, rewrite_ground_truth
from unidet.data.toy.vocabulary import COLOURS, SHAPES, TEXTURES, label_space
from unidet.data.toy.world import make_split


def test_ten_novel_names_of_val_have_a_word_each() -> None:
    words = new_words()
    val = label_space("val")
    novel = {name for name, new in zip(val.names, val.is_novel, strict=True) if new}
    assert len(words) == len(set(words.values())) == 10
    assert set(words) <= novel
    assert not set(words.values()) & {*SHAPES, *COLOURS, *TEXTURES, *val.names}


def test_a_split_and_its_ground_truth_agree_on_the_words(tmp_path: Path) -> None:
    split = in_new_words(make_split("val", tmp_path, scenes=2, seed=0))
    rewrite_ground_truth(tmp_path / "ground_truth.json")
    table = json.loads((tmp_path / "ground_truth.json").read_text())
    names = {category["id"]: category["name"] for category in table["categories"]}
    assert {category.id: category.name for category in split.categories} == names
    assert {*new_words().values()} < {*names.values()}
    assert not {*new_words()} & {*names.values()}


def test_new_scenes_carry_the_new_words_alone(tmp_path: Path) -> None:
    split = in_new_words(make_split("train_new", tmp_path, scenes=2, seed=0))
    assert [category.name for category in split.categories] == sorted(new_words().values())
