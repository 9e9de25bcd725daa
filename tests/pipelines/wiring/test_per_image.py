"""Results image by image: taken over from siblings, otherwise computed in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from unidet.config.images import KeepRatioImages
from unidet.data.images import PackedImages
from unidet.errors import Malformed
from unidet.pipelines.engine import shards
from unidet.pipelines.engine.shards import SHARDS, Columns, ShardSet
from unidet.pipelines.wiring.image_sets import ImageSet
from unidet.pipelines.wiring.per_image import Kinds, batch_by_batch, reusing
from unidet.records import Batch, Category, Split

PIXELS = KeepRatioImages("keep_ratio", (8, 8), 8, 8, 8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), divisor=8)


SCORES = {"scores": ("int64", ())}


class Silent:
    def update(self, done: int, total: int, note: str = "") -> None: ...


def digest_of(row: int) -> bytes:
    return bytes([row]) * 32


@pytest.fixture
def sibling(tmp_path: Path) -> Path:
    """An artefact with the images whose digests are 3 and 1; their scores are 30 and 10."""

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        return ((row, {"scores": np.array([30, 10])[[row]]}) for row in rows)

    shards = ShardSet(SHARDS, images=2, per_shard=2)
    shards.fill(tmp_path / "work", results, lambda row: digest_of((3, 1)[row]), Silent())
    shards.gather(tmp_path / "work", tmp_path / "sibling")
    return tmp_path / "sibling"


def test_only_images_that_no_sibling_holds_are_computed(sibling: Path) -> None:
    computed: list[int] = []

    def compute(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        computed.extend(rows)
        return ((row, {"scores": np.array([row])}) for row in rows)

    results = reusing(lambda: [sibling], digest_of, SCORES, compute)
    scores = {row: columns["scores"].tolist() for row, columns in results(range(4))}
    assert scores == {0: [0], 1: [10], 2: [2], 3: [30]}
    assert computed == [0, 2]
    assert dict(results([])) == {}
    assert {row: columns["scores"].tolist() for row, columns in results([1, 3])} == {
        1: [10],
        3: [30],
    }
    assert computed == [0, 2]


@pytest.mark.parametrize(
    "kinds",
    [
        {**SCORES, "boxes_xyxy": ("float32", (4,))},
        {"scores": ("float32", ())},
        {"scores": ("int64", (4,))},
        {},
    ],
)
def test_a_sibling_from_elsewhere_with_other_columns(sibling: Path, kinds: Kinds) -> None:
    """They would stand in an artefact of this study, which no later run makes again."""
    results = reusing(lambda: [sibling], digest_of, kinds, lambda rows: iter(()))
    with pytest.raises(Malformed, match=f"{sibling / SHARDS}: not a valid file of its stage"):
        list(results([1]))


def test_every_shard_of_a_sibling_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order of the images here; one that is there twice has its result twice."""

    def scrambled(row: int) -> bytes:
        return digest_of(row * 7 % 16)

    there = ShardSet(SHARDS, images=16, per_shard=2)
    there.fill(
        tmp_path / "work",
        lambda rows: ((row, {"scores": np.array([row])}) for row in rows),
        scrambled,
        Silent(),
    )
    there.gather(tmp_path / "work", tmp_path / "sibling")
    load, loaded = shards.map_arrays, []
    monkeypatch.setattr(shards, "map_arrays", lambda file: loaded.append(file.name) or load(file))
    images = (3, 0, 3, 15, 12, 9, 1, 0, 2, *range(4, 9), 14, 13, 11, 10)  # of the sibling
    results = reusing(
        lambda: [tmp_path / "sibling"], lambda row: scrambled(images[row]), SCORES, None
    )
    scores = {row: columns["scores"].item() for row, columns in results(range(len(images)))}
    assert scores == dict(enumerate(images))
    assert len(loaded) == 8 + 8 + 8  # for rows, for digests, and to read them


@pytest.fixture
def data(tmp_path: Path) -> ImageSet:
    """Three images of 8 x 8 pixels; all of image `row` are `row`."""
    pixels = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((8, 8, 3), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    sides = np.full(3, 8, np.int32)
    split = Split(
        name="tiny",
        image_ids=np.arange(1, 4),
        file_names=("",) * 3,
        widths=sides,
        heights=sides,
        box_image=np.zeros(0, np.int32),
        boxes_xyxy=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int32),
        is_crowd=np.zeros(0, bool),
        categories=(Category(1, "ant"),),
    )
    return ImageSet("tiny", split, PackedImages(tmp_path / "images.npy"), tmp_path)


def test_a_network_sees_the_rows_in_batches(data: ImageSet) -> None:
    batches: list[list[int]] = []

    def means(batch: Batch) -> Iterator[tuple[int, Columns]]:
        batches.append(batch.image_rows.tolist())
        assert batch.proposals is not None
        images = zip(batch.image_rows.tolist(), batch.images_NCHW, batch.proposals, strict=True)
        for row, image_CHW, proposals in images:
            yield row, {"means": image_CHW.mean(keepdims=True), "scores": proposals[:, 4]}

    def proposals_of(row: int) -> np.ndarray:
        return np.array([[0, 0, 4, 4, row / 4]], np.float32)

    results = dict(batch_by_batch(data, PIXELS, 2, means, proposals_of)([2, 0, 1]))
    assert batches == [[2, 0], [1]]
    assert {row: columns["means"].item() for row, columns in results.items()} == {0: 0, 1: 1, 2: 2}
    assert {row: columns["scores"].tolist() for row, columns in results.items()} == {
        0: [0.0],
        1: [0.25],
        2: [0.5],
    }
