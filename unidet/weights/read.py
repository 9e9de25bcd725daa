"""Reads checkpoints into numpy arrays: .pth and .pt without PyTorch, .pkl, safetensors, npz.

PyTorch's formats: torch/serialization.py (`_save`, `_legacy_save`); TorchScript archives have the
same layout as the zip format. Jittor's `.pkl`: jittor/__init__.py `safepickle`, a pickle followed
by its SHA-1 and a mark.
"""

from __future__ import annotations

import hashlib
import io
import math
import mmap
import pickle
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from safetensors import SafetensorError

from unidet.errors import HEAD, UserError, not_binary
from unidet.weights import other_files
from unidet.weights.pickle_bounds import Allowance
from unidet.weights.pickles import JITTOR_MARK, Loaded, flatten, load, plain, text_of
from unidet.weights.read_safetensors import read_safetensors
from unidet.weights.storage import Storage, numpy_type, unread_type
from unidet.weights.wrappers import bare
from unidet.weights.zips import check_zip, read_member

_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    SafetensorError,
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    NotImplementedError,  # of archives that tell of what zipfile cannot do
    SyntaxError,  # of numpy's headers, which are Python literals
    tokenize.TokenError,
)
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors", ".npz", ".pkl", ".param")
# As Hugging Face calls the files of a checkpoint that is divided; each has some of its layers.
_PART = re.compile(r"(?!00001-of-00001)\d{5}-of-\d{5}|index\.json$")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_HEAD = pickle.dumps(_LEGACY_MAGIC, 2)
# Under these names training frameworks keep the weights, next to an optimizer's state; one may
# stand inside another.
_WEIGHT_KEYS = ("state_dict", "model", "model_state_dict", "module", "net", "network", "params")
_MAX_NESTED, _SHOWN = 4, 4  # dicts in dicts; keys in a message
# Under these they keep the average (EMA) of the weights, with which they evaluate: RT-DETR, DeiT,
# timm, detrex, BasicSR. mmengine's `ema_state_dict` is none: when it saves, it exchanges the two.
_AVERAGE_KEYS = ("ema", "model_ema", "state_dict_ema", "ema_state", "params_ema")


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Every weight of a checkpoint, contiguous, by name and in the file's order.

    The format is told by content, not by suffix. Where the file holds more than weights (an
    optimizer, callbacks, logs), those under `state_dict` or `model` are taken, or where it is
    there their moving average, with which official code evaluates. bfloat16 becomes float32, every
    other type is kept.

    Raises:
        UserError: no such file, unknown format, truncated; or among the weights are objects other
            than tensors, or tensors of a type that is not read (8-bit floats, quantized, complex).
    """
    path = Path(path)
    other_files.require_file(path, f"no checkpoint at {path}")
    if part := _PART.search(path.name):
        raise UserError(f"{path} is {part[0]} of a checkpoint in several files: join them to one")
    with _named(path), path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(0)
        size = path.stat().st_size
        if head.startswith(other_files.ZIP):
            return _read_zip(file, size)
        if other_files.is_safetensors(head, size):
            return read_safetensors(path)
        if head.startswith(b"\x80"):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return _read_legacy(cast("IO[bytes]", mapped), len(mapped))
        if head[8:9] == b"{" or (path.suffix == ".safetensors" and not not_binary(head)):
            return read_safetensors(path)
    raise UserError(f"{path} {other_files.unknown(path, head)}")


def read_entries(path: Path) -> Any:
    """What a PyTorch checkpoint holds beside its tensors, which are there without their bytes;
    None of any other file.

    Raises:
        UserError: truncated, or no readable pickle.
    """
    with _named(path), path.open("rb") as file:
        head = file.read(len(_LEGACY_HEAD))
        file.seek(0)
        if head.startswith(other_files.ZIP):
            with zipfile.ZipFile(file) as archive:
                check_zip(archive, path.stat().st_size)
                pickled = _pickle_in(archive)
                data = read_member(archive, pickled) if pickled else b""
                return load(io.BytesIO(data), len(data), _unread).value if pickled else None
        if head == _LEGACY_HEAD:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                parts = [load(cast("IO[bytes]", mapped), len(mapped), _unread) for _ in range(4)]
                return parts[-1].value
    return None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numpy's archive, of numbers and of text, by name.

    Raises:
        UserError: no such file, no archive, damaged, with pickles in it, or one that would unpack
            to far more than its size.
    """
    try:
        other_files.require_archive(path)
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            check_zip(archive, path.stat().st_size)
            return _read_npz(archive)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (UserError, *_DAMAGE) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable .npz file ({reason:.100})") from error


def read_pickle(path: str | Path) -> Any:
    """A pickle of containers, numbers, text and numpy arrays, as mmcv's `dump` writes them.

    Raises:
        UserError: no such file, truncated, no pickle, or one that names anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with _named(path), path.open("rb") as file:
        if file.read(1) != b"\x80":
            raise UserError("not a pickle of protocol 2 or later")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return plain(cast("IO[bytes]", mapped), len(mapped))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Prefixes errors with the file's name."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _DAMAGE as error:
        raise UserError(
            f"{path} is truncated or damaged ({type(error).__name__}: {error}): "
            "fetch or write it again"
        ) from error


def _read_zip(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        check_zip(archive, size)
        pickled = _pickle_in(archive)
        if pickled is None:
            return _read_npz(archive)
        folder = pickled.removesuffix("data.pkl")
        if (
            f"{folder}byteorder" in archive.namelist()
            and read_member(archive, f"{folder}byteorder") != b"little"
        ):
            raise UserError("it was written on a big-endian machine, which is not supported")
        storages: dict[str, Storage] = {}

        def load_storage(pid: tuple[Any, ...]) -> Storage:
            key = str(pid[2])
            if key not in storages:
                data = read_member(archive, f"{folder}data/{key}")
                storages[key] = Storage(str(pid[1]), pid[4], data)
            return storages[key]

        data = read_member(archive, pickled)
        return _weights(load(io.BytesIO(data), len(data), load_storage), size)


def _pickle_in(archive: zipfile.ZipFile) -> str | None:
    """The member of PyTorch's zip format that describes its tensors."""
    return next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)


def _unread(pid: tuple[Any, ...]) -> Storage:
    return Storage(str(pid[1]), pid[4])


def _read_npz(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    if not names:
        if graph := other_files.graph_in(archive.namelist()):
            raise UserError(graph)
        for name in archive.namelist():
            if name.endswith(_CHECKPOINTS):
                raise UserError(f"a zip file around {name!r:.60}: unpack it first")
        raise UserError("a zip file with neither a PyTorch checkpoint nor numpy arrays inside")
    arrays = {}
    for name in names:
        with archive.open(name) as member:
            array = _read_npy(member, archive.getinfo(name).file_size)
            if array.dtype.kind == "V":  # as numpy writes bfloat16 and 8-bit floats
                raise unread_type(name.removesuffix(".npy"), str(array.dtype))
            arrays[name.removesuffix(".npy")] = array
    return arrays


def _read_npy(member: IO[bytes], size: int) -> np.ndarray:
    """An array of the bytes that exist; numpy itself would allocate as many as the header
    declares.
    """
    version = np.lib.format.read_magic(member)
    if version not in _NPY_HEADERS:
        raise UserError(f"an array in numpy's format {version}, of which 1.0 and 2.0 are read")
    shape, is_fortran, dtype = _NPY_HEADERS[version](member)
    if dtype.hasobject:
        raise UserError("holds Python objects, which are not read: save text by array.astype(str)")
    if math.prod(shape) * dtype.itemsize != size - member.tell():
        raise ValueError(f"an array of shape {shape} and type {dtype} in {size} bytes")
    view = np.frombuffer(member.read(size - member.tell()), dtype).reshape(
        shape, order="F" if is_fortran else "C"
    )
    return np.array(view, order="C")


def _read_legacy(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    storages: dict[str, Storage] = {}

    def load_storage(pid: tuple[Any, ...]) -> Storage:
        if len(pid) > 5 and pid[5] is not None:
            raise UserError("it uses storage views, which PyTorch stopped writing in 2017")
        if pid[4] * numpy_type(str(pid[1])).itemsize > size:
            raise UserError("it is truncated: a storage is larger than the file")
        return storages.setdefault(str(pid[2]), Storage(str(pid[1]), pid[4]))

    def load_next() -> Loaded:
        return load(file, size, load_storage)

    _check_jittor(file, size)
    first = load(file, size, other_files.elsewhere)
    if isinstance(first.value, (dict, list, tuple)):
        return _weights(first, size)
    if first.value != _LEGACY_MAGIC:
        first.placeholders.require_none()
        raise UserError("a pickle, but not one of weights")
    load_next()  # protocol version
    load_next()  # the writer's byte order and integer sizes
    contents = load_next()
    for key in load_next().value:
        _fill(storages[str(key)], file)
    return _weights(contents, size)


def _check_jittor(file: IO[bytes], size: int) -> None:
    """Compares the checksum at the end of a file of Jittor's with its contents."""
    tail = len(JITTOR_MARK) + hashlib.sha1().digest_size
    if size < tail:
        return
    file.seek(size - tail)
    end = file.read()
    file.seek(0)
    if end.endswith(JITTOR_MARK):
        if hashlib.sha1(file.read(size - tail)).digest() != end.removesuffix(JITTOR_MARK):
            raise UserError("it is damaged: its checksum does not match")
        file.seek(0)


def _fill(storage: Storage, file: IO[bytes]) -> None:
    header = file.read(8)
    if len(header) < 8 or int.from_bytes(header, "little") != storage.count:
        raise UserError("it is truncated: the size of a storage is missing or wrong")
    wanted = storage.count * numpy_type(storage.kind).itemsize
    storage.data = file.read(wanted)
    if len(storage.data) < wanted:
        raise UserError(f"it is truncated: {wanted - len(storage.data)} bytes are missing")


def _weights(loaded: Loaded, size: int) -> dict[str, np.ndarray]:
    """The arrays of what a file of `size` bytes holds."""
    contents = loaded.value
    for _ in range(_MAX_NESTED):
        contents = _inner(contents)
    tensors = flatten(contents, Allowance.of(loaded.opcodes, size))
    if not tensors:
        keys = [f"{text_of(key)!r:.40}" for key in contents] if isinstance(contents, dict) else []
        what = f", only {', '.join(keys[:_SHOWN])}" if keys else ""
        raise UserError(f"there are no tensors inside{what}; give a file with a network's weights")
    return tensors


def _inner(contents: Any) -> Any:
    """The part with the weights, if there is one; otherwise the contents themselves."""
    if not isinstance(contents, dict):
        return contents
    weights = _first_dict(contents, _WEIGHT_KEYS)
    average = _first_dict(contents, _AVERAGE_KEYS)
    if average is not None:
        average = _first_dict(average, _WEIGHT_KEYS) or average
        if weights is None or _names(weights) <= _names(average):
            return average
    return contents if weights is None else weights


def _first_dict(contents: dict[Any, Any], keys: Sequence[str]) -> dict[Any, Any] | None:
    parts = {text_of(key): part for key, part in contents.items() if isinstance(part, dict)}
    return next((parts[key] for key in keys if key in parts), None)


def _names(contents: dict[Any, Any]) -> set[str]:
    """The names of the entries, without a wrapper around the weights or their average."""
    return {bare(text_of(name)) for name in contents}
