"""Archives: what is wanted comes out, what is wrong leaves nothing."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from disks import no_room

from unidet.download.archives import staging, unpack
from unidet.errors import UserError

FILES = {"val/a.jpg": b"a" * 5000, "val/b.jpg": b"b", "readme.txt": b"read"}
KINDS = ("zip", "tar", "tar.gz")


def archive(folder: Path, kind: str, files: dict[str, bytes] = FILES) -> Path:
    path = folder / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in files.items():
                file.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def everything(name: str) -> bool:
    return True


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def complaint(path: Path, into: Path) -> str:
    """What is said of an archive that leaves nothing."""
    with pytest.raises(UserError) as fault:
        unpack(path, into, everything)
    assert "\n" not in str(fault.value)
    assert not into.exists()
    return str(fault.value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wanted_is_unpacked(tmp_path: Path, kind: str) -> None:
    path = archive(tmp_path, kind, {"./val/a.jpg": b"a", "val/b.jpg": b"b", "readme.txt": b"c"})
    assert unpack(path, tmp_path / "out", lambda name: name.startswith("val/")) == 2
    assert contents(tmp_path / "out") == {"val/a.jpg": b"a", "val/b.jpg": b"b"}
    assert not staging(path, tmp_path / "out").exists()


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "out/val").mkdir(parents=True)
    (tmp_path / "out/val/b.jpg").write_bytes(b"mine")
    unpack(archive(tmp_path, "zip"), tmp_path / "out", everything)
    assert contents(tmp_path / "out") == FILES | {"val/b.jpg": b"mine"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "val/../../evil", "..\\evil"])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    path = archive(tmp_path, kind, FILES | {name: b"evil"})
    said = complaint(path, tmp_path / "out/deep")
    assert "a file outside the folder" in said
    assert not (tmp_path / "evil").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    assert "link is a link or a device" in complaint(tmp_path / "x.tar", tmp_path / "out")
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    assert "link is a link or encrypted" in complaint(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_archive_that_is_cut_off_leaves_nothing(tmp_path: Path, kind: str, share: float) -> None:
    path = archive(tmp_path, kind, {f"val/{row}.jpg": bytes([row]) * 9000 for row in range(9)})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "is cut off or damaged" in complaint(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_damage_within_is_found(tmp_path: Path, kind: str) -> None:
    path = archive(tmp_path, kind, {"a.jpg": bytes(range(256)) * 100})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert "is cut off or damaged" in complaint(path, tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_a_rare_compression_is_found(tmp_path: Path, method: int) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a.jpg", bytes(range(256)) * 100)
    content = path.read_bytes()
    path.write_bytes(content[:60] + bytes([content[60] ^ 255] * 20) + content[80:])
    assert "is cut off or damaged" in complaint(path, tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_not_taken_for_damage(tmp_path: Path, kind: str) -> None:
    """Small files too, which a buffer would hold until they are closed."""
    path = archive(tmp_path, kind, {"val/b.jpg": b"b" * 100})
    with no_room(50):
        assert "b.jpg: cannot be written (File too large)" in complaint(path, tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fails_is_not_taken_for_damage(tmp_path: Path, kind: str) -> None:
    def broken(name: str) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(UserError, match=r"cannot be read \(Input/output error\)"):
        unpack(archive(tmp_path, kind), tmp_path / "out", broken)


def test_a_name_in_no_encoding_is_damage(tmp_path: Path) -> None:
    path = archive(tmp_path, "zip", {"é.jpg": b"a"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xc3\x28"))
    assert "is cut off or damaged" in complaint(path, tmp_path / "out")


def test_no_archive_is_said(tmp_path: Path) -> None:
    for kind in KINDS:
        (tmp_path / f"x.{kind}").write_text("<html>Please log in</html>" * 100)
        assert "is cut off or damaged" in complaint(tmp_path / f"x.{kind}", tmp_path / "out")


def test_what_was_unpacked_is_on_the_disk_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut would leave empty images, and the archive is removed next."""
    into, waited = tmp_path / "out", []
    place = staging(archive(tmp_path, "zip"), into)
    monkeypatch.setattr(
        os, "sync", lambda: waited.append((contents(place), (into / "val").exists()))
    )
    unpack(tmp_path / "x.zip", into, everything)
    assert waited == [(FILES, False)]


def test_files_that_are_moved_in_part_are_marked_until_all_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it moves, then stopped while it unpacks again: half would pass for all."""
    path, into = archive(tmp_path, "zip"), tmp_path / "out"
    rename = os.rename

    def killed(source: Path, target: Path) -> None:
        rename(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            unpack(path, into, everything)
    assert (into / "readme.txt").exists()
    assert not (into / "val").exists()
    with pytest.raises(KeyboardInterrupt):
        unpack(path, into, everything, lambda count: killed(path, path))
    assert staging(path, into).is_dir()
    unpack(path, into, everything)
    assert contents(into) == FILES
    assert not staging(path, into).exists()


def tar_with(path: Path, *parts: tarfile.TarInfo | bytes) -> Path:
    """An archive of headers and content as they are given, compressed."""
    blocks = (
        part.tobuf(tarfile.GNU_FORMAT) if isinstance(part, tarfile.TarInfo) else part
        for part in parts
    )
    with gzip.open(path, "wb") as file:
        file.writelines(block + bytes(-len(block) % 512) for block in (*blocks, bytes(1024)))
    return path


def header(kind: bytes, size: int, name: str = "x") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_no_more_of_a_header_is_read_than_a_header_has(tmp_path: Path, kind: bytes) -> None:
    """A few kB may unpack to names of gigabytes."""
    first, large = header(tarfile.REGTYPE, 0), header(kind, 2 << 20)
    path = tar_with(tmp_path / "x.tar.gz", first, large, bytes(2 << 20))
    assert "a header of 2097152 bytes" in complaint(path, tmp_path / "out")


def test_a_long_chain_of_headers_is_damage(tmp_path: Path) -> None:
    chain = [header(tarfile.GNUTYPE_LONGNAME, 2), b"a\0"] * 2000
    path = tar_with(tmp_path / "x.tar.gz", *chain)
    assert "is cut off or damaged" in complaint(path, tmp_path / "out")


@pytest.mark.parametrize("damage", ["a header", "the end", "an empty header"])
def test_a_tar_that_ends_too_early_leaves_nothing(tmp_path: Path, damage: str) -> None:
    """tarfile takes a damaged header, and a file without an end, for the end."""
    path = archive(tmp_path, "tar", {"a.jpg": b"a", "b.jpg": b"b"})
    content = path.read_bytes()
    damaged = {
        "a header": content[:1024] + b"c" + content[1025:],  # the name of the second
        "the end": content[:2048],
        "an empty header": content[:1024] + bytes(512) + content[1536:],
    }
    path.write_bytes(damaged[damage])
    assert "is cut off or damaged" in complaint(path, tmp_path / "out")


def test_of_two_tars_in_one_the_second_is_not_left_out(tmp_path: Path) -> None:
    path = archive(tmp_path, "tar", {"a.jpg": b"a"})
    path.write_bytes(path.read_bytes() + archive(tmp_path, "tar", {"b.jpg": b"b"}).read_bytes())
    assert "it goes on behind its end" in complaint(path, tmp_path / "out")


def test_a_tar_of_more_than_the_disk_has_is_refused(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "x.tar.gz", header(tarfile.REGTYPE, 1 << 60))
    assert "only" in (said := complaint(path, tmp_path / "out"))
    assert f"needs {1 << 60} bytes" in said


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("second", ["./a", "a/b"])
def test_a_name_that_stands_twice_is_told(tmp_path: Path, kind: str, second: str) -> None:
    path = archive(tmp_path, kind, {"a": b"1", second: b"2"})
    assert "it has the name" in (said := complaint(path, tmp_path / "out"))
    assert "twice" in said


def test_a_list_of_members_that_ends_too_early_is_damage(tmp_path: Path) -> None:
    """zipfile would unpack the first file alone."""
    path = archive(tmp_path, "zip")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        first = 46 + len(file.infolist()[0].filename)  # bytes of the list
        content[-10:-6] = struct.pack("<I", first)
        content[file.start_dir + first : -22] = b""
    path.write_bytes(content)
    assert len(zipfile.ZipFile(path).infolist()) == 1
    assert "it lists 1 of 3 files" in complaint(path, tmp_path / "out")


def test_a_zip_that_lists_nothing_is_damage(tmp_path: Path) -> None:
    path = archive(tmp_path, "zip")
    content = path.read_bytes()
    path.write_bytes(content[:-14] + bytes(8) + content[-6:])  # counts and bytes of the list
    assert zipfile.ZipFile(path).infolist() == []
    assert "it lists no files" in complaint(path, tmp_path / "out")
