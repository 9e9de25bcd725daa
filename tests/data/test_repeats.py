"""How often an epoch shows an image, worked by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from unidet.data.repeats import Repeats, balanced, by_rarity
from unidet.data.sampler import Sampler
from unidet.records import Category, Split


def split_of(names: list[list[int]], widths: list[int] | None = None) -> Split:
    """An image 40 pixels high for each list of labels, 60 wide where nothing else is said."""
    counts = [len(own) for own in names]
    return Split(
        name="set",
        image_ids=np.arange(len(names)),
        file_names=("",) * len(names),
        widths=np.array(widths or [60] * len(names), np.int32),
        heights=np.full(len(names), 40, np.int32),
        box_image=np.repeat(np.arange(len(names)), counts).astype(np.int32),
        boxes_xyxy=np.tile(np.array([1, 2, 20, 30], np.float32), (sum(counts), 1)),
        labels=np.array([label for own in names for label in own], np.int32),
        is_crowd=np.zeros(sum(counts), bool),
        categories=tuple(Category(row, f"c{row}") for row in range(3)),
    )


# Name 0 is in all four images, 1 in two, 2 in one.
FOUR = split_of([[0], [0, 1, 1], [0, 1], [2, 0, 2]])


@pytest.mark.parametrize(
    ("threshold", "copies"),
    [
        (0.25, [1, 1, 1, 1]),  # sqrt(.25 / .25) = 1
        (0.5, [1, 1, 1, 2]),  # sqrt(.5 / .25) = 1.41
        (0.75, [1, 2, 2, 2]),  # sqrt(.75 / .5) = 1.22, sqrt(.75 / .25) = 1.73
        (1.0, [1, 2, 2, 2]),  # 1.41 and just 2
        (0.001, [1, 1, 1, 1]),
    ],
)
def test_repeat_factors(threshold: float, copies: list[int]) -> None:
    (factors,) = by_rarity([FOUR], [np.arange(4)], threshold=threshold)
    assert factors.tolist() == copies


def test_frequencies_are_of_the_images_that_are_trained_on() -> None:
    """Without image 1, name 1 is in one of three: sqrt(.5 / .33) = 1.22. Image 3 is a second set's,
    in which every name is frequent."""
    factors = by_rarity([FOUR, FOUR], [np.array([0, 2]), np.array([3])], threshold=0.75)
    assert [own.tolist() for own in factors] == [[1, 2], [1]]


def shown(repeats: Repeats, *splits: Split, epoch: int = 0, batch_size: int = 1) -> Counter:
    sampler = Sampler(splits, batch_size, 3, repeats)
    steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
    batches = [sampler.batch(step) for step in steps]
    assert {number for number, _ in batches} == {epoch}
    return Counter(member for _, members in batches for member in members)


def test_an_epoch_shows_copies_each_under_its_number() -> None:
    once_more = {(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 0), (0, 3, 1)}
    assert shown(partial(by_rarity, threshold=0.5), FOUR) == Counter(once_more)


FIVE = split_of([[0]] * 5)
THREE = split_of([[0]] * 3, widths=[40, 60, 40])


def test_balanced_sets_show_equally_many_images() -> None:
    """Of three images for five: each once and again one of the upright two (2 · 2/3 = 1.3) and the
    wide one (2/3)."""
    again = set()
    for epoch in range(12):
        counts = shown(balanced, FIVE, THREE, epoch=epoch)
        assert set(counts.values()) == {1}
        assert Counter(member.dataset_id for member in counts) == {0: 5, 1: 5}
        assert {member.row for member in counts if member.dataset_id == 0} == set(range(5))
        assert {member for member in counts if member.copy == 0 and member.dataset_id == 1} == {
            (1, row, 0) for row in range(3)
        }
        extra = {member.row for member in counts if member.copy}
        assert len(extra) == 2
        assert 1 in extra
        again |= extra
    assert again == {0, 1, 2}


def test_the_length_of_an_epoch_counts_repeats_and_fill_ups() -> None:
    """Wide: 5 + 1 + 1 = 7, filled to 8; upright: 2 + 1, filled to 4."""
    sampler = Sampler([FIVE, THREE], 4, 0, balanced)
    assert (len(sampler), sampler.steps_per_epoch) == (10, 3)
    assert sum(shown(balanced, FIVE, THREE, batch_size=4).values()) == 12


def test_sets_without_an_image_to_train_on_stay_empty() -> None:
    none = replace(FIVE, is_crowd=np.ones(5, bool))
    assert {member.dataset_id for member in shown(balanced, THREE, none)} == {0}
