"""One small layout, worked by hand: names there and back, and everything that does not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.weights.layouts.layout import Layout, from_ours, to_ours


@pytest.fixture
def official() -> dict[str, np.ndarray]:
    return {
        "body.conv1.weight": np.arange(6, dtype=np.float16).reshape(2, 3, 1, 1),
        "body.bn1.weight": np.array([1, 2], np.float32),
        "body.bn1.bias": np.array([3, 4], np.float32),
        "body.bn1.running_mean": np.array([5, 6], np.float32),
        "body.bn1.running_var": np.array([7, 8], np.float32),
        "body.bn1.num_batches_tracked": np.array(9),
        "head.out.weight": np.ones((5, 2), np.float32),
        "head.out.bias": np.ones(5, np.float32),
        "head.box.weight": np.full((4, 2), 2, np.float32),
        "head.box.bias": np.full(4, 3, np.float32),
        "head.words": np.array([[1, 2, 3, 0], [4, 5, 6, 0]], np.float32),
    }


OUR_NAMES = [
    "trunk.conv1.weight",
    "trunk.bn1.weight",
    "trunk.bn1.bias",
    "trunk.bn1.running_mean",
    "trunk.bn1.running_var",
    "regressor.weight",
    "regressor.bias",
]


def test_to_our_names(small: Layout, official: dict[str, np.ndarray]) -> None:
    weights = small.from_official(official)
    assert list(weights.arrays) == OUR_NAMES
    np.testing.assert_array_equal(weights.arrays["regressor.bias"], [3, 3, 3, 3])
    np.testing.assert_array_equal(weights.vocabularies[0], [[1, 4], [2, 5], [3, 6]])
    assert list(weights.kept) == [
        "trunk.bn1.num_batches_tracked",
        "head.out.weight",
        "head.out.bias",
    ]
    assert list(weights.part("regressor.")) == ["weight", "bias"]


def test_there_and_back_bit_by_bit(small: Layout, official: dict[str, np.ndarray]) -> None:
    stored = to_ours(small.from_official(official))
    assert set(stored) == {
        *OUR_NAMES,
        "vocabulary.0",
        "kept/trunk.bn1.num_batches_tracked",
        "kept/head.out.weight",
        "kept/head.out.bias",
    }
    shuffled = dict(sorted(stored.items()))
    back = small.to_official(from_ours(small, shuffled))
    assert list(back) == list(official)
    for name, array in official.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name, strict=True)


def test_weights_of_our_own_lack_what_training_never_had(
    small: Layout, official: dict[str, np.ndarray]
) -> None:
    ours = dict(small.from_official(official).arrays)
    back = small.to_official(from_ours(small, ours))
    lacking = ("num_batches_tracked", "out.weight", "out.bias", "words")
    assert list(back) == [name for name in official if not name.endswith(lacking)]


def test_what_does_not_fit(small: Layout, official: dict[str, np.ndarray]) -> None:
    del official["head.box.bias"], official["body.bn1.num_batches_tracked"]
    official["extra.num_batches_tracked"] = np.array(0)
    official["body.bn1.bias"] = np.zeros(3, np.float32)
    official["head.out.bias"] = np.zeros((1, 1), np.float32)
    official["head.words"] = np.zeros((3, 4), np.float32)
    with pytest.raises(UserError) as caught:
        small.from_official(official)
    assert str(caught.value) == (
        "does not fit the layout small: 1 missing (head.box.bias); "
        "1 unexpected (extra.num_batches_tracked); 3 of another shape "
        "(body.bn1.bias 3, not 2, head.out.bias 1x1, not C, head.words 3x4, not 2xC)"
    )


def test_the_same_under_our_names(small: Layout, official: dict[str, np.ndarray]) -> None:
    stored = to_ours(small.from_official(official))
    del stored["regressor.bias"]
    stored["trunk.conv1.weight"] = np.zeros((2, 3, 3, 3), np.float32)
    stored["other"] = np.zeros(1)
    stored["vocabulary.1"] = np.zeros((3, 2), np.float32)
    with pytest.raises(UserError) as caught:
        from_ours(small, stored)
    assert str(caught.value) == (
        "does not fit the layout small: 1 missing (regressor.bias); 2 unexpected (other, "
        "vocabulary.1); 1 of another shape (trunk.conv1.weight 2x3x3x3, not 2x3x1x1)"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(
    value: float, small: Layout, official: dict[str, np.ndarray]
) -> None:
    stored = to_ours(small.from_official(official))
    official["body.bn1.bias"][1] = value
    with pytest.raises(UserError, match=r"NaN or infinite values: 1 arrays \(body\.bn1\.bias\)"):
        small.from_official(official)
    stored["trunk.bn1.bias"] = official["body.bn1.bias"]
    with pytest.raises(UserError, match=r"NaN or infinite values: 1 arrays \(trunk\.bn1\.bias\)"):
        from_ours(small, stored)


def test_a_background_that_is_not_zero(small: Layout, official: dict[str, np.ndarray]) -> None:
    official["head.words"][1, 3] = 1
    with pytest.raises(UserError, match=r"head\.words: its last column, the background's, is not"):
        small.from_official(official)


def test_several_vocabularies(small: Layout, official: dict[str, np.ndarray]) -> None:
    several = dataclasses.replace(small, vocabulary="head.words_{}")
    words = official.pop("head.words")
    with pytest.raises(UserError, match=r"1 missing \(head\.words_0\)"):
        several.from_official(official)
    official |= {"head.words_0": words, "head.words_1": words[:, 1:]}
    weights = several.from_official(official)
    assert [len(vocabulary) for vocabulary in weights.vocabularies] == [3, 2]
    back = several.to_official(from_ours(several, to_ours(weights)))
    assert list(back) == list(official)
    np.testing.assert_array_equal(back["head.words_1"], words[:, 1:], strict=True)
    with pytest.raises(UserError, match=r"1 unexpected \(vocabulary\.1\)"):
        small.to_official(weights)
    official["head.words_3"] = words
    with pytest.raises(UserError, match=r"1 unexpected \(head\.words_3\)"):
        several.from_official(official)


def test_a_number_may_be_stored_as_one_element(small: Layout) -> None:
    scale = dataclasses.replace(
        small, shapes=lambda: {"scale": ()}, kept=(), renames=(), vocabulary=None
    )
    assert not scale.problems({"scale": ()})
    assert not scale.our_problems({"scale": (1,)})
    assert scale.problems({"scale": (2,)}).misshapen == ("scale 2, not scalar",)
