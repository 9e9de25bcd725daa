"""Sampling and loading: order and content depend on seed and step alone."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter

import numpy as np
import pytest

from unidet.data.loader import Loader, Source, evaluation_batches
from unidet.data.sampler import Sampler, trainable_rows
from unidet.data.transforms import KeepRatio, Transform
from unidet.errors import UserError
from unidet.records import Batch, Category, Split

TRANSFORM = Transform(KeepRatio((32, 48), 64), (100, 100, 100), (50, 50, 50), 0.5, 0.5)


def make_split(name: str, sizes: list[tuple[int, int]]) -> Split:
    """One box in each image, of (width, height) `sizes`."""
    count = len(sizes)
    return Split(
        name=name,
        image_ids=np.arange(count),
        file_names=("",) * count,
        widths=np.array([width for width, _ in sizes], np.int32),
        heights=np.array([height for _, height in sizes], np.int32),
        box_image=np.arange(count, dtype=np.int32),
        boxes_xyxy=np.tile(np.array([1, 2, 20, 30], np.float32), (count, 1)),
        labels=np.arange(count, dtype=np.int32),
        is_crowd=np.zeros(count, bool),
        categories=tuple(Category(row, f"c{row}") for row in range(count)),
    )


class Noise:
    """Images in memory; reading row `broken` fails."""

    def __init__(self, split: Split, broken: int = -1) -> None:
        self.split, self.broken = split, broken

    def __len__(self) -> int:
        return len(self.split)

    def name(self, row: int) -> str:
        return f"{self.split.name}/{row}.jpg"

    def read(self, row: int) -> np.ndarray:
        if row == self.broken:
            raise ZeroDivisionError
        shape = (self.split.heights[row], self.split.widths[row], 3)
        return np.random.default_rng(row).integers(0, 256, shape, dtype=np.uint8)


WIDE = make_split("wide", [(60, 40)] * 5)
MIXED = make_split("mixed", [(40, 60), (60, 40), (40, 40)])


def sources(broken: int = -1) -> list[Source]:
    return [Source(WIDE, Noise(WIDE, broken)), Source(MIXED, Noise(MIXED))]


def assert_equal(batch: Batch, other: Batch) -> None:
    np.testing.assert_array_equal(batch.images_NCHW, other.images_NCHW)
    np.testing.assert_array_equal(batch.image_rows, other.image_rows)
    np.testing.assert_array_equal(batch.dataset_ids, other.dataset_ids)
    for boxes, others in zip(batch.boxes, other.boxes, strict=True):
        np.testing.assert_array_equal(boxes, others)


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("unidet-loader")]


def test_trainable_rows() -> None:
    split = make_split("rows", [(60, 40), (31, 60), (60, 32), (60, 40), (60, 40)])
    split = dataclasses.replace(
        split,
        box_image=np.array([0, 1, 2, 3], np.int32),
        is_crowd=np.array([False, False, False, True]),
    )
    split = dataclasses.replace(split, boxes_xyxy=split.boxes_xyxy[:4], labels=split.labels[:4])
    assert trainable_rows(split).tolist() == [0, 2]


def test_an_epoch_shows_every_image_and_fills_up_by_group() -> None:
    sampler = Sampler([WIDE, MIXED], 4, seed=3)
    # wider than high: 5 + 1, filled to 8; others: 2, filled to 4
    assert (len(sampler), sampler.steps_per_epoch) == (8, 3)
    groups = []
    for epoch in range(3):
        places = []
        for step in range(3 * epoch, 3 * epoch + 3):
            batch_epoch, batch = sampler.batch(step)
            assert batch_epoch == epoch
            groups.append({place[:2] in {(1, 0), (1, 2)} for place in batch})
            places += [place[:2] for place in batch]
        counts = Counter(places)
        assert len(places) == 12
        assert set(counts) == {(0, row) for row in range(5)} | {(1, row) for row in range(3)}
    assert all(len(group) == 1 for group in groups)


def test_order_differs_by_epoch_and_seed_alone() -> None:
    sampler = Sampler([WIDE, MIXED], 2, seed=3)
    orders = [sampler.epoch_batches(epoch).tolist() for epoch in range(4)]
    assert len({str(order) for order in orders}) == 4
    assert Sampler([WIDE, MIXED], 2, seed=4).epoch_batches(0).tolist() != orders[0]
    fresh = Sampler([WIDE, MIXED], 2, seed=3)
    assert fresh.batch(13) == [sampler.batch(step) for step in range(14)][13]


def test_batches_of_the_groups_are_mixed() -> None:
    split = make_split("half", [(60, 40)] * 20 + [(40, 60)] * 20)
    first_rows = Sampler([split], 2, seed=0).epoch_batches(0)[:, 0, 0]
    assert len(set((first_rows[:10] < 20).tolist())) == 2


def test_augmentation_changes_from_epoch_to_epoch() -> None:
    split = make_split("one", [(60, 40)])
    batches = list(Loader([Source(split, Noise(split))], 1, 12, 0, TRANSFORM))
    seen = {(*batch.sizes_N2[0].tolist(), *batch.flips_N2[0].tolist()) for batch in batches}
    assert len(seen) > 6


def test_one_image_fills_a_batch() -> None:
    assert Sampler([make_split("one", [(40, 40)])], 3, seed=0).batch(5) == (5, [(0, 0, 0)] * 3)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(UserError, match="small: no image to train on"):
        Sampler([make_split("small", [(31, 31)])], 2, seed=0)


def test_content_does_not_depend_on_threads_or_start() -> None:
    alone = list(Loader(sources(), 2, 9, 5, TRANSFORM, threads=1, prefetch=0))
    assert len(alone) == 9
    many = list(Loader(sources(), 2, 9, 5, TRANSFORM, threads=4, prefetch=6))
    late = list(Loader(sources(), 2, 9, 5, TRANSFORM, start_step=6))
    for first, second in zip(alone + alone[6:], many + late, strict=True):
        assert_equal(first, second)
    flips = np.concatenate([batch.flips_N2 for batch in alone])
    assert flips.any(axis=0).all()
    assert not flips.all(axis=0).any()
    assert len({tuple(size) for batch in alone for size in batch.sizes_N2.tolist()}) > 3


def test_shares_make_up_the_batch() -> None:
    whole = Loader(sources(), 4, 6, 5, TRANSFORM)
    shares = [Loader(sources(), 4, 6, 5, TRANSFORM, share=(number, 2)) for number in range(2)]
    for batch, first, second in zip(whole, *shares, strict=True):
        for name in ("image_rows", "dataset_ids", "sizes_N2", "flips_N2"):
            parts = [getattr(first, name), getattr(second, name)]
            np.testing.assert_array_equal(np.concatenate(parts), getattr(batch, name))
            assert len(parts[0]) == 2


def test_batches_name_their_images() -> None:
    batches = list(Loader(sources(), 2, 6, 0, TRANSFORM))
    assert len(batches) == 6
    for batch in batches:
        for dataset_id, row, labels in zip(
            batch.dataset_ids, batch.image_rows, batch.labels, strict=True
        ):
            assert labels.tolist() == [row]  # the label of a test box is its row
            assert row < len((WIDE, MIXED)[dataset_id])


def test_batches_and_their_parts_name_their_epoch_wherever_one_starts() -> None:
    """Four images in batches of two: two steps an epoch."""
    four = make_split("four", [(60, 40)] * 4)
    for start, expected in ((0, [0, 0, 1, 1, 2]), (3, [1, 2])):
        batches = list(Loader([Source(four, Noise(four))], 2, 5, 0, TRANSFORM, start_step=start))
        assert [batch.epoch for batch in batches] == expected
        assert [part.epoch for part in batches[-1].parts(2)] == [2, 2]


def test_crowds_are_left_out() -> None:
    split = dataclasses.replace(
        WIDE,
        box_image=np.array([0, 0, 0, 1], np.int32),
        is_crowd=np.array([False, True, False, False]),
        boxes_xyxy=WIDE.boxes_xyxy[:4],
        labels=np.array([4, 1, 2, 3], np.int32),
    )
    batch = next(evaluation_batches(Noise(split), split, [0], TRANSFORM, 1))
    assert batch.labels[0].tolist() == [4, 2]


def test_failures_reach_the_consumer_with_the_image_named() -> None:
    loader = Loader(sources(broken=3), 2, 9, 0, TRANSFORM)
    with pytest.raises(RuntimeError, match=r"wide: wide/3\.jpg \(row 3\): ZeroDivisionError"):
        list(loader)
    assert loader_threads() == []
    assert list(loader) == []


def test_closing_early_leaves_no_thread() -> None:
    with Loader(sources(), 2, 1000, 0, TRANSFORM) as loader:
        next(loader)
        assert loader_threads()
    assert loader_threads() == []
    for _ in Loader(sources(), 2, 1000, 0, TRANSFORM):
        break
    assert loader_threads() == []
    Loader(sources(), 2, 1000, 0, TRANSFORM).close()


def test_work_ahead_is_bounded() -> None:
    images = Noise(WIDE)
    read: list[int] = []
    original = images.read
    images.read = lambda row: (read.append(row), original(row))[1]  # type: ignore[method-assign]
    with Loader([Source(WIDE, images)], 1, 1000, 0, TRANSFORM, prefetch=2) as loader:
        next(loader)
        while loader_threads() and len(read) < 3:
            pass
        assert len(read) == 3
        next(loader)
    assert len(read) <= 4


def test_evaluation_keeps_the_order() -> None:
    transform = Transform(KeepRatio((32, 32), 64), (0, 0, 0), (1, 1, 1))
    batches = list(evaluation_batches(Noise(WIDE), WIDE, np.array([4, 0, 2]), transform, 2))
    assert [batch.image_rows.tolist() for batch in batches] == [[4, 0], [2]]
    assert batches[0].sizes_N2.tolist() == [[32, 48], [32, 48]]
    np.testing.assert_allclose(batches[0].boxes[0], [[0.8, 1.6, 16, 24]], rtol=1e-6)
    assert list(evaluation_batches(Noise(WIDE), WIDE, [], transform, 2)) == []


def test_evaluation_batches_are_of_one_padded_size() -> None:
    """Short side 32 makes 48 x 32 of 60 x 40, padded to 64 x 32; or turned, 32 x 64."""
    mixed = make_split("turned", [(60, 40), (40, 60)] * 2)
    transform = Transform(KeepRatio((32, 32), 64), (0, 0, 0), (1, 1, 1))
    batches = list(evaluation_batches(Noise(mixed), mixed, range(4), transform, 2))
    assert [batch.image_rows.tolist() for batch in batches] == [[0, 2], [1, 3]]
    assert [batch.images_NCHW.shape[2:] for batch in batches] == [(32, 64), (64, 32)]


def test_proposals_go_through_the_same_transform() -> None:
    def proposals_of(row: int) -> np.ndarray:
        box = WIDE.boxes_of(row)[0][0]
        return np.array([[*box, 0.5]] * row, np.float32).reshape(-1, 5)

    source = Source(WIDE, Noise(WIDE), proposals_of)
    batches = list(Loader([source], 2, 6, 0, TRANSFORM))
    assert len(batches) == 6
    for batch in batches:
        assert batch.proposals is not None
        for row, boxes, proposals in zip(
            batch.image_rows, batch.boxes, batch.proposals, strict=True
        ):
            assert proposals.shape == (row, 5)
            np.testing.assert_array_equal(proposals[:, :4], np.repeat(boxes, row, axis=0))
            assert (proposals[:, 4] == 0.5).all()


def test_proposals_are_there_for_evaluation() -> None:
    transform = Transform(KeepRatio((80, 80), 120), (0, 0, 0), (1, 1, 1))
    batch = next(
        evaluation_batches(
            Noise(WIDE),
            WIDE,
            [1],
            transform,
            1,
            proposals_of=lambda row: np.array([[row, 2, 3, 4, 0.25]], np.float32),
        )
    )
    assert batch.proposals is not None
    assert batch.proposals[0].tolist() == [[2, 4, 6, 8, 0.25]]
