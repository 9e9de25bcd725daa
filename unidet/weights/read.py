"""Reads checkpoints into numpy arrays: .pth and .pt without PyTorch, .pkl, safetensors, npz.

PyTorch's formats: torch/serialization.py (`_save`, `_legacy_save`); TorchScript archives have the
same layout as the zip format. Jittor's `.pkl`: jittor/__init__.py `safepickle`, a pickle followed
by its SHA-1 and a mark.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from unidet.errors import UserError
from unidet.weights.pickles import JITTOR_MARK, Unpickler, flatten, plain
from unidet.weights.storage import Storage, numpy_type

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
)
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# Under these names training frameworks keep the weights, next to an optimizer's state.
_WEIGHT_KEYS = ("state_dict", "model", "model_state_dict")


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Every weight of a checkpoint, contiguous, by name and in the file's order.

    The format is told by content, not by suffix. Where the file holds more than weights (an
    optimizer, metadata), those under `state_dict` or `model` are taken, or RT-DETR's moving average
    under `ema`, with which its official code evaluates. bfloat16 becomes float32, every other type
    is kept.

    Raises:
        UserError: no such file, unknown format, truncated, or a pickle that names anything other
            than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    with _named(path), path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        if head.startswith(b"PK\x03\x04"):
            return _read_zip(file)
        if head.startswith(b"\x80"):
            return _read_legacy(file, path.stat().st_size)
        if head[8:9] == b"{" or path.suffix == ".safetensors":
            return dict(load_file(path))
    raise UserError(f"{path} is neither a PyTorch checkpoint, nor safetensors, nor npz")


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
        file.seek(0)
        return plain(file)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the file's name in front of whatever is wrong with it."""
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


def _read_zip(file: IO[bytes]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        pickled = next((name for name in names if name.endswith("/data.pkl")), None)
        if pickled is None:
            return _read_npz(archive)
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise UserError("it was written on a big-endian machine, which is not supported")
        storages: dict[str, Storage] = {}

        def load_storage(pid: tuple[Any, ...]) -> Storage:
            key = str(pid[2])
            if key not in storages:
                data = archive.read(f"{folder}data/{key}")
                storages[key] = Storage(str(pid[1]), pid[4], data)
            return storages[key]

        return _weights(Unpickler(io.BytesIO(archive.read(pickled)), load_storage).load())


def _read_npz(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    if not names:
        raise UserError("a zip file with neither a PyTorch checkpoint nor numpy arrays inside")
    arrays = {}
    for name in names:
        with archive.open(name) as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
            arrays[name.removesuffix(".npy")] = np.asarray(array, order="C")
    return arrays


def _read_legacy(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    storages: dict[str, Storage] = {}

    def load_storage(pid: tuple[Any, ...]) -> Storage:
        if len(pid) > 5 and pid[5] is not None:
            raise UserError("it uses storage views, which PyTorch stopped writing in 2017")
        if pid[4] * numpy_type(str(pid[1])).itemsize > size:
            raise UserError("it is truncated: a storage is larger than the file")
        return storages.setdefault(str(pid[2]), Storage(str(pid[1]), pid[4]))

    def load() -> Any:
        return Unpickler(file, load_storage).load()

    _check_jittor(file, size)
    first = load()
    if isinstance(first, dict):
        return _weights(first)
    if first != _LEGACY_MAGIC:
        raise UserError("a pickle, but not one of weights")
    load()  # protocol version
    load()  # the writer's byte order and integer sizes
    contents = load()
    for key in load():
        _fill(storages[str(key)], file)
    return _weights(contents)


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


def _weights(contents: Any) -> dict[str, np.ndarray]:
    if isinstance(contents, dict):
        average = contents.get("ema")
        if isinstance(average, dict) and isinstance(average.get("module"), dict):
            return _weights(average["module"])
        nested = (contents[key] for key in _WEIGHT_KEYS if isinstance(contents.get(key), dict))
        contents = next(nested, contents)
    tensors = flatten(contents)
    if not tensors:
        raise UserError("there are no tensors inside")
    return tensors
