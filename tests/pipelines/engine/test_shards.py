"""Shards: written once, resumed by shard, read back by image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from disks import fails_at, no_room
from filelock import FileLock

from unidet.errors import Malformed, UserError
from unidet.pipelines.engine.shards import Columns, Sharded, ShardSet


class Silent:
    def update(self, done: int, total: int, note: str = "") -> None: ...


def columns_of(row: int) -> Columns:
    """Image `row` has `row` entries; image 0 has none."""
    return {
        "boxes_xyxy": np.full((row, 4), row, np.float32),
        "scores": np.arange(row, dtype=np.float32),
    }


def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
    """In another order than asked for, as batches of equal size come."""
    return ((row, columns_of(row)) for row in reversed(rows))


def digest_of(row: int) -> bytes:
    return bytes([row]) * 32


FIVE = ShardSet("val", images=5, per_shard=2)
WAITING = Path("shards") / "val" / "5-by-2"


def test_every_image_comes_back(tmp_path: Path) -> None:
    FIVE.fill(tmp_path / "work", results, digest_of, Silent())
    shards = Sharded(FIVE.gather(tmp_path / "work", tmp_path / "out"))
    assert len(list((tmp_path / "out" / "val").iterdir())) == len(FIVE) == 3
    assert len(shards) == 5
    for row in range(5):
        columns = shards.of(row)
        assert columns["boxes_xyxy"].tolist() == [[row] * 4] * row
        assert columns["scores"].tolist() == list(range(row))


def test_no_images_make_an_empty_folder(tmp_path: Path) -> None:
    none = ShardSet("val", images=0, per_shard=2)
    none.fill(tmp_path / "work", results, digest_of, Silent())
    assert len(Sharded(none.gather(tmp_path / "work", tmp_path / "out"))) == 0


def test_finished_shards_are_not_computed_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def failing(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        for row in rows:
            asked.append(row)
            if row == 3 and asked.count(3) == 1:
                raise RuntimeError("power cut")
            yield row, columns_of(row)

    with pytest.raises(RuntimeError):
        FIVE.fill(tmp_path, failing, digest_of, Silent())
    assert FIVE.missing(tmp_path) == [1, 2]
    FIVE.fill(tmp_path, failing, digest_of, Silent())
    assert asked == [0, 1, 2, 3, 2, 3, 4]
    assert FIVE.missing(tmp_path) == []


def test_a_shard_that_somebody_is_at_is_left_to_him(tmp_path: Path) -> None:
    FIVE.fill(tmp_path, results, digest_of, Silent())
    second = tmp_path / WAITING / "shard-00001.npz"
    second.unlink()
    with FileLock(second.with_suffix(".claim")):
        FIVE.fill(tmp_path, results, digest_of, Silent())
        assert FIVE.missing(tmp_path) == [1]
    FIVE.fill(tmp_path, results, digest_of, Silent())
    assert FIVE.missing(tmp_path) == []


def test_a_shard_given_up_meanwhile_is_taken_over(tmp_path: Path) -> None:
    """The first shard's process dies while this one is at the last."""
    folder = tmp_path / WAITING
    folder.mkdir(parents=True)
    other = FileLock(folder / "shard-00000.claim")
    other.acquire()

    def watched(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        if 4 in rows:
            other.release()
        return results(rows)

    FIVE.fill(tmp_path, watched, digest_of, Silent())
    assert FIVE.missing(tmp_path) == []


def test_a_draft_cut_off_is_no_shard(tmp_path: Path) -> None:
    folder = tmp_path / WAITING
    folder.mkdir(parents=True)
    (folder / ".shard-00000.npz.host-1").write_bytes(b"half")
    FIVE.fill(tmp_path, results, digest_of, Silent())
    shards = FIVE.gather(tmp_path, tmp_path / "out")
    assert sorted(file.name for file in shards.iterdir()) == [
        f"shard-0000{number}.npz" for number in range(3)
    ]


def test_an_unfinished_set_is_not_gathered(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FIVE.gather(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(("first", "then"), [(2, 4), (4, 2), (3, 5)])
def test_shards_of_another_plan_are_not_taken(tmp_path: Path, first: int, then: int) -> None:
    """Interrupted after two shards, and gone on with another number of images a shard."""
    before, after = (ShardSet("val", images=10, per_shard=count) for count in (first, then))

    def interrupted(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        if rows[0] >= 2 * first:
            raise RuntimeError("power cut")
        return results(rows)

    with pytest.raises(RuntimeError):
        before.fill(tmp_path, interrupted, digest_of, Silent())
    after.fill(tmp_path, results, digest_of, Silent())
    folder = after.gather(tmp_path, tmp_path / "out")
    rows = [np.load(file)["rows"] for file in sorted(folder.iterdir())]
    assert np.concatenate(rows).tolist() == list(range(10))
    assert before.missing(tmp_path) == list(range(2, len(before)))  # and they wait on


def test_a_set_that_grew_is_made_anew(tmp_path: Path) -> None:
    ShardSet("val", images=3, per_shard=2).fill(tmp_path, results, digest_of, Silent())
    FIVE.fill(tmp_path, results, digest_of, Silent())
    assert len(Sharded(FIVE.gather(tmp_path, tmp_path / "out"))) == 5


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def flip(file: Path) -> None:
    """One bit of the scores of the last image."""
    content = bytearray(file.read_bytes())
    place = content.index(np.arange(3, dtype=np.float32).tobytes()) + 4
    content[place] ^= 1
    file.write_bytes(content)


def lose_a_column(file: Path) -> None:
    """As an archive whose directory tells too few: it opens, and its checksums are right."""
    with np.load(file) as arrays:
        np.savez(file, **{name: arrays[name] for name in arrays.files if name != "scores"})


def lose_the_seal(file: Path) -> None:
    file.with_suffix(".sha256").write_text("")


def save(file: Path, **arrays: np.ndarray) -> None:
    """A shard of two images with two entries each, but for what is given."""
    whole = {"offsets": np.array([0, 2, 4]), "digests": np.zeros((2, 32), np.uint8)}
    np.savez(file, **{**whole, **arrays})


def of_others(file: Path) -> None:
    save(file, rows=np.array([2, 2]), scores=np.zeros(4))


def short_of_entries(file: Path) -> None:
    save(file, rows=np.array([2, 3]), offsets=np.array([0, 2, 5]), scores=np.zeros(4))


def without_a_digest(file: Path) -> None:
    save(file, rows=np.array([2, 3]), digests=np.zeros((1, 32), np.uint8), scores=np.zeros(4))


@pytest.mark.parametrize(
    "harm",
    [cut, flip, lose_a_column, lose_the_seal, of_others, short_of_entries, without_a_digest],
)
def test_a_damaged_shard_is_not_gathered_and_made_again(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    FIVE.fill(tmp_path, results, digest_of, Silent())
    harm(tmp_path / WAITING / "shard-00001.npz")
    with pytest.raises(UserError, match=r"shard-00001\.npz was damaged and is removed"):
        FIVE.gather(tmp_path, tmp_path / "out")
    assert FIVE.missing(tmp_path) == [1]
    FIVE.fill(tmp_path, results, digest_of, Silent())
    assert len(Sharded(FIVE.gather(tmp_path, tmp_path / "out"))) == 5


def test_no_flipped_bit_is_gathered(tmp_path: Path) -> None:
    """Not even one that hides a column, or that zip files have for what nobody uses."""
    FIVE.fill(tmp_path, results, digest_of, Silent())
    file = tmp_path / WAITING / "shard-00002.npz"
    whole = file.read_bytes()
    for place in range(len(whole)):
        harmed = bytearray(whole)
        harmed[place] ^= 1 << place % 8
        file.write_bytes(harmed)
        with pytest.raises(UserError, match="was damaged and is removed"):
            FIVE.gather(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("name", ["shard-00001.npz", "shard-00001.sha256"])
def test_a_shard_that_the_disk_gives_no_more_is_made_again(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    FIVE.fill(tmp_path, results, digest_of, Silent())
    with monkeypatch.context() as patched:
        fails_at(tmp_path / WAITING / name, patched)
        with pytest.raises(UserError, match="was damaged and is removed"):
            FIVE.gather(tmp_path, tmp_path / "out")
    FIVE.fill(tmp_path, results, digest_of, Silent())
    assert len(Sharded(FIVE.gather(tmp_path, tmp_path / "out"))) == 5


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", ["shard-00001.npz", "shard-00001.sha256"])
def test_what_is_no_file_in_place_of_a_shard_is_made_again(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    FIVE.fill(tmp_path, results, digest_of, Silent())
    (tmp_path / WAITING / name).unlink()
    make(tmp_path / WAITING / name)
    with pytest.raises(UserError, match="was damaged and is removed"):
        FIVE.gather(tmp_path, tmp_path / "out")
    FIVE.fill(tmp_path, results, digest_of, Silent())
    assert len(Sharded(FIVE.gather(tmp_path, tmp_path / "out"))) == 5


GOOD = {
    "rows": np.arange(2),
    "digests": np.zeros((2, 32), np.uint8),
    "offsets": np.array([0, 1, 3]),
    "boxes_xyxy": np.zeros((3, 4), np.float32),
    "scores": np.zeros(3, np.float32),
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": None}, "there is no array rows"),
        ({"scores": None}, "there is no array scores"),
        ({"rows": np.array(["a", "b"])}, "rows is <U1 of shape"),
        ({"rows": np.arange(2) + 5}, "not every one of 2 images once"),
        ({"digests": np.zeros((2, 31), np.uint8)}, "digests is uint8 of shape"),
        ({"offsets": np.zeros(2, np.int64)}, "offsets is int64 of shape"),
        ({"offsets": np.array([0, 4, 3])}, "offsets do not ascend"),
        ({"offsets": np.array([0, 1, 2**62])}, "boxes_xyxy is float32 of shape"),
        ({"boxes_xyxy": np.zeros((3, 3))}, "boxes_xyxy is float64 of shape"),
        ({"scores": np.zeros(3, complex)}, "scores is complex128 of shape"),
        ({"scores": np.float32(1)}, "scores is float32 of shape"),
        ({"scores": np.array([{}] * 3)}, "not a valid file of its stage"),
    ],
)
def test_a_shard_of_somebody_else_that_is_none_is_named(
    tmp_path: Path, changes: dict[str, np.ndarray | None], says: str
) -> None:
    """Its checksum may well be right."""
    arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
    np.savez(tmp_path / "shard-00000.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(Malformed) as caught:
        Sharded(tmp_path).of(0)["scores"]
    assert says in str(caught.value)
    assert "unidet rm" in str(caught.value)


def test_what_was_gathered_for_nothing_goes_back(tmp_path: Path) -> None:
    FIVE.fill(tmp_path / "work", results, digest_of, Silent())
    FIVE.gather(tmp_path / "work", tmp_path / "out")
    assert FIVE.missing(tmp_path / "work") == [0, 1, 2]
    FIVE.put_back(tmp_path / "work", tmp_path / "out")
    assert FIVE.missing(tmp_path / "work") == []
    FIVE.put_back(tmp_path / "work", tmp_path / "out")  # nothing is left to do
    assert len(Sharded(FIVE.gather(tmp_path / "work", tmp_path / "other"))) == 5


def test_a_shard_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    with no_room(500), pytest.raises(OSError, match="File too large"):
        FIVE.fill(tmp_path, results, digest_of, Silent())
    assert [path.suffix for path in (tmp_path / WAITING).iterdir()] in ([], [".claim"])
