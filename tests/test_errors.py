"""What a file is in place of what was to be read, by every reader."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.data.images import read_size
from unidet.errors import UserError, other_kind
from unidet.formats.annotations import read_annotations
from unidet.formats.embeddings import read_embeddings, read_named_embeddings
from unidet.formats.labels.recognize import recognize
from unidet.models.clip.tokenizer import read_merges
from unidet.pictures.decode import read_picture
from unidet.vocabularies.vocabulary import Vocabulary
from unidet.weights.ncnn import read_ncnn
from unidet.weights.read import read_checkpoint


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "{}")
    return stream.getvalue()


# Named by the words, never by the bytes: an archive holds the time it was written, and
# pytest's workers must all collect the same names.
KINDS = {
    b"": "is empty",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n": "is a Git LFS pointer",
    b"\n<!DOCTYPE html><html>Sign in</html>": "is a web page",
    b"<HTML><head>": "is a web page",
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied': "is a web page",
    zipped("labels.json"): r"is packed \(zip\): unpack it first",
    zipped("concept_embeddings_of_clip_rn50_for_my_own_classes/data.pkl"): "is a PyTorch file",
    zipped("embeddings.npy"): r"is a numpy archive \(\.npz\)",
    zipped("[Content_Types].xml"): "is an Office document",
    gzip.compress(b"{}"): r"is packed \(gzip\)",
    bz2.compress(b"{}"): r"is packed \(bzip2\)",
    lzma.compress(b"{}"): r"is packed \(xz\)",
    b"7z\xbc\xaf\x27\x1c": r"is packed \(7z\)",
}
READERS: dict[str, Callable[[Path], object]] = {
    ".json": read_annotations,
    ".xml": recognize,
    ".jpg": read_picture,
    ".png": read_size,
}


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("content", KINDS, ids=KINDS.values())
def test_a_file_of_another_kind_is_called_what_it_is(
    tmp_path: Path, ending: str, content: bytes
) -> None:
    file = tmp_path / f"file{ending}"
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{file}: {KINDS[content]}"):
        READERS[ending](file)


@pytest.mark.parametrize(
    "content",
    [pytest.param(content, id=kind) for content, kind in KINDS.items() if content[:2] != b"PK"],
)
def test_so_are_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match=rf"w\.pth {KINDS[content]}"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("w.safetensors", read_checkpoint),
        ("net.bin", read_ncnn),
        ("names.npy", read_embeddings),
        ("names.npz", read_named_embeddings),
        ("merges.txt", read_merges),
        ("vocabulary.txt", Vocabulary.read),
        ("merges.txt.gz", read_merges),
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(content, id=kind)
        for content, kind in KINDS.items()
        if content[:1] in (b"v", b"\n", b"<")
    ],
)
def test_so_is_what_the_suffix_calls_binary(
    tmp_path: Path, name: str, read: Callable[[Path], object], content: bytes
) -> None:
    """A clone without Git LFS, or a refused download, leaves such files under any name."""
    (tmp_path / "net.param").write_text("7767517\n1 1\nConvolution first 0 1 out 0=1 1=1 6=1\n")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}:? .*{KINDS[content]}"):
        read(tmp_path / name)


def test_a_checkpoint_in_a_zip_file_is_to_be_unpacked(tmp_path: Path) -> None:
    """PyTorch's own format is one as well."""
    (tmp_path / "w.zip").write_bytes(zipped("release/best.pth"))
    with pytest.raises(UserError, match=r"a zip file around 'release/best\.pth': unpack it first"):
        read_checkpoint(tmp_path / "w.zip")


@pytest.mark.parametrize("head", [b"{", b"[", b"\xef\xbb\xbf{", b"<annotation>", b"\xff\xd8\xff"])
def test_other_content_is_the_readers_business(head: bytes) -> None:
    assert other_kind(head) == ""
