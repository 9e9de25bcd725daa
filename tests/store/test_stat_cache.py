"""External files enter a key by content, and are read only when `stat` says they changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.errors import UserError
from unidet.store import stat_cache
from unidet.store.disk import MOST_BYTES, read_sealed, write_sealed
from unidet.store.hashing import sha256_file
from unidet.store.store import Store

LONG_AGO = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written counts as settled at once: the time of a change of state cannot be set."""
    monkeypatch.setattr(stat_cache, "SETTLED_NS", -1_000_000_000)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content was read, in order."""
    seen: list[str] = []

    def reading(path: str) -> str:
        seen.append(os.path.basename(path))
        return sha256_file(path)

    monkeypatch.setattr(stat_cache, "sha256_file", reading)
    return seen


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, LONG_AGO)
        return path

    return write


Put = Callable[[str, bytes], Path]


def test_a_file_is_its_sha256(store: Store, put: Put) -> None:
    hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert store.digest_of(put("x", b"hello")) == hello


def test_a_folder_is_the_list_of_its_files(store: Store, put: Put, tmp_path: Path) -> None:
    put("d/empty", b"")
    put("d/a/hello.txt", b"hello")
    # printf '[["a/hello.txt","<sha256 of hello>"],["empty","<sha256 of nothing>"]]' | sha256sum
    expected = "7cf5efbcfdd8394b2fc303c61aa7e7fac80b7ddecca567a4a679797eb1fd4777"
    assert store.digest_of(tmp_path / "d") == expected
    (tmp_path / "d").rename(tmp_path / "elsewhere")
    assert store.digest_of(tmp_path / "elsewhere") == expected


def test_what_did_not_change_is_not_read_again(
    store: Store, put: Put, reads: list[str], settled: None
) -> None:
    folder = put("d/one", b"1").parent
    put("d/two", b"2")
    first = store.digest_of(folder)
    assert sorted(reads) == ["one", "two"]
    assert store.digest_of(folder) == first
    assert sorted(reads) == ["one", "two"]


def test_a_folder_without_changes_needs_no_look_at_its_files(
    store: Store, put: Put, reads: list[str], settled: None
) -> None:
    folder = put("d/one", b"1").parent
    first = store.digest_of(folder)
    (per_file,) = store.layout.stat_cache.glob("*.files")
    per_file.unlink()
    assert store.digest_of(folder) == first
    assert reads == ["one"]


def test_only_what_changed_is_read_again(
    store: Store, put: Put, reads: list[str], settled: None
) -> None:
    folder = put("d/one", b"1").parent
    path = put("d/two", b"2")
    first = store.digest_of(folder)
    reads.clear()
    path.write_bytes(b"X")  # the same size
    assert store.digest_of(folder) != first
    assert reads == ["two"]


def test_a_file_edited_with_its_size_and_times_kept(
    store: Store, put: Put, reads: list[str], settled: None
) -> None:
    """As `rsync --times`, `tar` and some editors leave it; seen by its ctime."""
    path = put("x", b"labels")
    first = store.digest_of(path)
    time.sleep(0.02)  # a tick of the file system's clock
    path.write_bytes(b"Labels")
    os.utime(path, LONG_AGO)
    assert store.digest_of(path) == sha256_file(path) != first
    assert reads == ["x", "x"]


def test_a_change_of_state_just_now_is_not_trusted(
    store: Store, put: Put, reads: list[str]
) -> None:
    path = put("x", b"1")  # its mtime is of long ago
    store.digest_of(path)
    store.digest_of(path)
    assert reads == ["x", "x"]


def test_a_file_moved_into_the_place_of_another_is_noticed(store: Store, put: Put) -> None:
    folder = put("d/one", b"1").parent
    first = store.digest_of(folder)
    os.replace(put("other", b"X"), folder / "one")  # same size and time, another inode
    assert store.digest_of(folder) != first


def test_a_file_written_just_now_is_not_trusted(
    store: Store, tmp_path: Path, reads: list[str]
) -> None:
    path = tmp_path / "fresh"
    path.write_bytes(b"1")
    store.digest_of(path)
    store.digest_of(path)
    assert reads == ["fresh", "fresh"]


def test_a_damaged_cache_is_ignored_and_made_again(
    store: Store, put: Put, reads: list[str], settled: None
) -> None:
    path = put("x", b"1")
    first = store.digest_of(path)
    for cache in store.layout.stat_cache.iterdir():
        cache.write_bytes(cache.read_bytes()[:-3] + b'0"]')
    assert store.digest_of(path) == first
    assert store.digest_of(path) == first
    assert reads == ["x", "x"]


def test_renaming_a_file_inside_changes_a_folder(store: Store, put: Put) -> None:
    path = put("d/one", b"1")
    first = store.digest_of(path.parent)
    path.rename(path.with_name("uno"))
    assert store.digest_of(path.parent) != first


def test_links_are_followed_but_not_in_circles(store: Store, put: Put, tmp_path: Path) -> None:
    real = put("real/one", b"1").parent
    plain = store.digest_of(real)
    (tmp_path / "link").symlink_to(real)
    assert store.digest_of(tmp_path / "link") == plain
    (real / "again").symlink_to(real)
    with pytest.raises(UserError, match="again: links form a cycle"):
        store.digest_of(real)


def test_what_is_missing_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: No such file or directory"):
        store.digest_of(tmp_path / "nowhere")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"No such file or directory"):
        store.digest_of(tmp_path)


def test_the_list_of_a_large_data_set_is_read_again(tmp_path: Path) -> None:
    """Open Images' 1.7 million files give 320 MB, more than a record may have."""
    data = bytes(MOST_BYTES + 1)
    write_sealed(tmp_path / "list", data)
    assert read_sealed(tmp_path / "list") == data
