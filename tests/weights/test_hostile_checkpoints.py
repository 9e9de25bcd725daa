"""Checkpoints made to harm: each is refused in one line, within a bounded time and memory."""

from __future__ import annotations

import io
import json
import pickle
import resource
import struct
import warnings
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.weights.pickle_bounds import MAX_DEPTH, check_bounds
from unidet.weights.read import read_checkpoint, read_pickle
from unidet.weights.write import write_torch

MEMORY = 600 << 20  # bytes above what the process has at the start


@pytest.fixture(autouse=True)
def little_memory() -> object:
    """Address space for a few hundred MB more, so that a bomb fails and does not swap."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


TUPLES = b"N" + b"\x85" * 500_000
TWICE = b")q\x00" + b"".join(b"h%c\x86q%c" % (i, i + 1) for i in range(90))
"""A tuple that holds another one twice, which holds a third one twice, …"""
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n)C\x01b\x87R"
TEXT = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20)
SLOT = b"N}X\x08\x00\x00\x00__name__X\x01\x00\x00\x00as\x86b"
"""Sets an attribute of what stands before it."""
PICKLES: dict[str, tuple[bytes, str]] = {
    "nested tuples as a key": (b"}" + TUPLES + b"Ns.", "nest more than 100 deep"),
    "nested tuples in a set": (b"\x8f(" + TUPLES + b"\x90.", "nest more than 100 deep"),
    "nested tuples of a list": (b"]" + b"\x85" * 500_000 + b".", "nest more than 100 deep"),
    "nested lists": (b"]" * 500_000 + b"a" * 499_999 + b".", "nest more than 100 deep"),
    "tuples through the memo": (
        b"Nq\x00" + b"h\x00\x85q\x00" * 10_000 + b"}h\x00Ns.",
        "nest more than 100 deep",
    ),
    "tuples made by a call": (
        b"ctorch\nSize\nq\x00N" + b"\x85\x94h\x00h\x01\x85R\x94" + b"\x85" * 200 + b".",
        "nest more than 100 deep",
    ),
    "shared lists": (
        b"]q\x00"
        + b"".join(b"](" + (b"h" + bytes([i])) * 10 + b"eq" + bytes([i + 1]) for i in range(30))
        + b".",
        "repeats its content",
    ),
    "a memo index": (b"Nr\xff\xff\xff\x7f.", "numbers an object 2147483647"),
    "a frame": (b"\x95" + struct.pack("<Q", 2**40) + b"N.", "a frame of"),
    "a byte array": (b"\x96" + struct.pack("<Q", 2**50) + b".", "expected 1125899906842624 bytes"),
    "bytes": (b"\x8e" + struct.pack("<Q", 2**50) + b".", "expected 1125899906842624 bytes"),
    "an empty stack": (b"s.", "finds nothing to work on"),
    "tuples that hold one another twice as a key": (b"}" + TWICE + b"Ns.", "keys that take far"),
    "the same in a set": (b"\x8f(" + TWICE + b"\x90.", "keys that take far longer"),
    "the same in a frozen set": (b"(" + TWICE + b"\x91.", "keys that take far longer"),
    "the same in pairs": (
        b"ccollections\nOrderedDict\n]" + TWICE + b"N\x86a\x85R.",
        "a key that is a tuple",
    ),
    "the same as a reference": (TWICE + b"Q.", "refers to a tuple, which is no tensor storage"),
    "the same as a type": (
        b"}K\x00" + ARRAY + b"(K\x01)cnumpy\ndtype\n" + TWICE + b"\x85R\x89C\x00tbs.",
        "an array of a tuple",
    ),
    "numbers that share a hash": (
        b"}("
        + b"".join(
            b"\x8a\x0c" + (i * (2**61 - 1)).to_bytes(12, "little") + b"N" for i in range(2000)
        )
        + b"u.",
        "keys that take far longer",
    ),
    "tuples that share a hash": (  # those of -1 and of -2 are one
        b"}("
        + b"".join(
            b"("
            + b"".join((b"J\xff\xff\xff\xff", b"J\xfe\xff\xff\xff")[i >> k & 1] for k in range(13))
            + b"tN"
            for i in range(2**13)
        )
        + b"u.",
        "keys that take far longer",
    ),
    "one text encoded again and again": (
        b"]" + TEXT + b"q\x000c_codecs\nencode\nq\x01X\x06\x00\x00\x00latin1q\x0200"
        b"]" + b"h\x01h\x00h\x02\x86Ra" * 1000 + b".",
        "repeats its content",
    ),
    "one list copied again and again": (
        b"](" + b"K\x01K\x01\x86" * 1000 + b"eq\x000]ccollections\nOrderedDict\nq\x010"
        b"h\x01h\x00\x85Ra" + b"h\x01h\x00\x85Ra" * 20_000 + b".",
        "repeats its content",
    ),
    "a long size": (b"ctorch\nSize\n(" + b"K\x01" * 33 + b"t\x85R.", "malformed shape"),
    "large sides": (b"ctorch\nSize\n\x8a\x09" + b"\x7f" * 9 + b"\x85\x85R.", "malformed shape"),
    "long names": (TEXT + b"X\x01\x00\x00\x00a\x93.", "names a class by more than 1000"),
    "a class that is altered": (
        b"cnumpy.core.multiarray\nscalar\n" + SLOT + b"0}.",
        "alters an object",
    ),
    "a function that is altered": (b"ctorch._utils\n_rebuild_tensor\n" + SLOT + b"0}.", "alters"),
    "a type that is altered": (b"ctorch\nFloatStorage\n}b0}.", "alters an object"),
}


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("read", [read_pickle, read_checkpoint])
def test_pickles(name: str, read: object, tmp_path: Path) -> None:
    content, says = PICKLES[name]
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x05" + content)
    with pytest.raises(UserError, match=says) as caught:
        read(path)  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def torch_zip(path: Path, pickled: bytes, storage: bytes = b"\0" * 16) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        archive.writestr("x/data/0", storage)


def tensor(shape: str, stride: str) -> bytes:
    """Opcodes of {"w": a tensor}, in protocol 2."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(("
        b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
        b"K\x00" + shape.encode("latin1") + stride.encode("latin1") + b"\x89NtRs."
    )


def test_a_tensor_worked_by_hand_and_one_that_repeats_without_end(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch_zip(path, tensor("K\x04\x85", "K\x01\x85"), np.arange(4, dtype=np.float32).tobytes())
    assert read_checkpoint(path)["w"].tolist() == [0, 1, 2, 3]
    torch_zip(path, tensor("J\xff\xff\xff\x7f\x85", "K\x00\x85"))
    with pytest.raises(UserError, match="repeats its content"):
        read_checkpoint(path)


def test_one_of_two_arrays_with_a_name_is_not_lost(tmp_path: Path) -> None:
    one, two = np.zeros(2, np.float32), np.ones(2, np.float32)
    for twice in ({"a": {"b": one}, "a.b": two}, {1: one, "1": two}):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(twice, 2))
        with pytest.raises(UserError, match=r"two arrays with the name .(a\.b|1)."):
            read_checkpoint(tmp_path / "x.pkl")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a.npy", b"")
        archive.writestr("a.npy", b"")
    with pytest.raises(UserError, match="two members of it have the same name"):
        read_checkpoint(tmp_path / "x.npz")


def test_a_metadata_attribute_of_a_state_dict_is_passed_over(tmp_path: Path) -> None:
    weights = OrderedDict(w=np.ones(2, np.float32))
    weights._metadata = OrderedDict(version=1)  # type: ignore[attr-defined]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(weights, 2))
    assert read_checkpoint(tmp_path / "x.pkl")["w"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["x/data/0", "a.npy"])
def test_a_zip_bomb_that_declares_few_bytes(name: str, tmp_path: Path) -> None:
    """zipfile unpacks all, and cuts it then."""
    path, header = tmp_path / "x.pt", io.BytesIO()
    np.save(header, np.zeros(4000, np.float32))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if name != "a.npy":
            archive.writestr("x/data.pkl", tensor("K\x04\x85", "K\x01\x85"))
        with archive.open(name, "w") as member:
            member.write(header.getvalue() if name == "a.npy" else b"")
            for _ in range(700):
                member.write(bytes(1 << 20))
    content = bytearray(path.read_bytes())
    declared = len(header.getvalue()) if name == "a.npy" else 16
    struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 24, declared)
    path.write_bytes(content)
    with pytest.raises(UserError, match="Bad CRC"):
        read_checkpoint(path)


def test_an_expanded_tensor_is_still_read(tmp_path: Path) -> None:
    torch_zip(tmp_path / "x.pt", tensor("M\x00\x10\x85", "K\x00\x85"))
    assert read_checkpoint(tmp_path / "x.pt")["w"].shape == (4096,)


def test_a_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        member = io.BytesIO()
        np.save(member, np.zeros(50 << 20, np.uint8))
        for name in "abc":
            archive.writestr(f"{name}.npy", member.getvalue())
    with pytest.raises(UserError, match="which no weights do"):
        read_checkpoint(path)


@pytest.mark.parametrize("shape", ["(10000000000000,)", "(4000000000,)", "(2, 3, 5)"])
def test_an_array_that_declares_more_than_is_there(shape: str, tmp_path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 16
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(UserError, match=r"x\.npz is truncated or damaged .* in \d+ bytes"):
        read_checkpoint(tmp_path / "x.npz")


@pytest.mark.parametrize(("shape", "size"), [([1] * 100, 4), ([0, 2**63], 0)])
def test_shapes_that_numpy_has_not(shape: list[int], size: int, tmp_path: Path) -> None:
    """`as_strided` crashes the process at that many dimensions; a side of 2**63 is a stride too,
    over which numpy warns on standard error."""
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}
    header = json.dumps({"a": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * size)
    with pytest.raises(UserError, match=r"x\.safetensors is truncated or damaged .*dimension"):
        read_checkpoint(path)


@pytest.mark.parametrize("length", [20_000, 2**31])
def test_a_huge_header(length: int, tmp_path: Path) -> None:
    data = b"\x93NUMPY\x02\x00" + struct.pack("<I", length) + b"(" * 20_000
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(UserError, match=r"x\.npz is truncated or damaged"):
        read_checkpoint(tmp_path / "x.npz")


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_either_order_are_read(order: str, tmp_path: Path) -> None:
    array = np.arange(24, dtype=">f8").reshape(2, 3, 4)
    np.savez_compressed(tmp_path / "x.npz", a=np.array(array, order=order))  # type: ignore[call-overload]
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "x.npz")["a"], array)


def test_a_flipped_bit_of_an_archive_is_no_traceback(tmp_path: Path) -> None:
    """Some tell of versions, encryption and patches of zip that nobody reads."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(1, np.uint8))
    whole = path.read_bytes()
    for place in range(8 * whole.index(b"PK\x01\x02"), 8 * len(whole)):
        harmed = bytearray(whole)
        harmed[place // 8] ^= 1 << place % 8
        path.write_bytes(harmed)
        with suppress(UserError):
            read_checkpoint(path)


def test_an_encrypted_zip(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch_zip(path, b"N.")
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"'x/data\.pkl' in it is encrypted"):
        read_checkpoint(path)


@pytest.mark.parametrize(("kind", "number"), [(zipfile.ZIP_LZMA, 14), (zipfile.ZIP_BZIP2, 12)])
def test_odd_compression(kind: int, number: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w", kind) as archive:
        archive.writestr("x/data.pkl", b"N.")
    with pytest.raises(UserError, match=f"compressed by method {number}"):
        read_checkpoint(tmp_path / "x.pt")


def test_what_stands_beside_the_weights_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every opcode that calls, builds or fills, on a name that would do harm."""
    monkeypatch.chdir(tmp_path)
    harm = b"cposix\nsystem\n"
    command = b"X\x08\x00\x00\x00touch me"
    calls = [
        harm + command + b"\x85R",
        harm + command + b"\x85\x81",
        harm + command + b"\x85}\x92",
        b"(" + command + b"iposix\nsystem\n",
        b"(" + harm + command + b"o",
        harm + b")R}" + command + b"Nsb",
        harm + b")R" + command + b"a",
        harm + b")R(" + command + b"e",
        harm + b")R" + command + b"Ns",
        harm + b")R(" + command + b"\x90",
        harm + command + b"b",
    ]
    opcodes = tensor("K\x04\x85", "K\x01\x85")[2:-1]
    for call in calls:
        pickled = b"\x80\x04}(X\x05\x00\x00\x00model" + opcodes + b"X\x01\x00\x00\x00b"
        torch_zip(tmp_path / "x.pt", pickled + call + b"u.")
        assert list(read_checkpoint(tmp_path / "x.pt")) == ["w"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_more_names_than_any_checkpoint_has(tmp_path: Path) -> None:
    names = b"".join(b"ca\n%d\n0" % index for index in range(1001))
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02" + names + b"}.")
    for read in (read_pickle, read_checkpoint):
        with pytest.raises(UserError, match="names more than 1000 classes"):
            read(tmp_path / "x.pkl")


def test_weights_that_lie_in_themselves(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.")
    with pytest.raises(UserError, match="an object contains itself"):
        read_checkpoint(tmp_path / "x.pkl")


def test_what_people_write_is_far_from_the_bounds(tmp_path: Path) -> None:
    deep: object = 1
    for _ in range(40):
        deep = {"a": [deep, (deep,)]} if _ < 3 else OrderedDict(a=[deep])
    data = pickle.dumps(deep, 4)
    assert check_bounds(io.BytesIO(data), len(data)) > 0
    weights = {f"layer{i}.weight": np.ones((3, 3), np.float32) for i in range(500)}
    write_torch(tmp_path / "x.pth", weights)
    assert list(read_checkpoint(tmp_path / "x.pth")) == list(weights)
    assert MAX_DEPTH == 100
