"""Writes checkpoints: safetensors (our own artefacts), PyTorch's zip format and Jittor's `.pkl`."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from unidet.errors import UserError
from unidet.store.arrays import save_arrays, save_tensors
from unidet.store.disk import whole_file
from unidet.weights.pickles import JITTOR_MARK

CLASSES_KEY = "classes"
"""Under it the metadata of a file of ours hold the names of its outputs, as JSON."""
_STORAGE_NAMES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


def metadata_of(classes: Sequence[str | None]) -> dict[str, str]:
    """The metadata of a safetensors file whose outputs have these names, None for one that stands
    for nothing; empty for no names. `class_names.read_class_names` reads them."""
    return {CLASSES_KEY: json.dumps(list(classes))} if classes else {}


def write_safetensors(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes `path` in one step: it never holds half a checkpoint.

    The bytes depend on names, types and values alone, not on the order of `arrays`.
    """
    ready = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with whole_file(Path(path)) as partial:
        _save(ready, partial, dict(metadata) if metadata else None)
        if metadata and len(metadata) > 1:
            _sort_metadata(partial)


def write_torch(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a state dict that `torch.load` reads, also with `weights_only=True`.

    Raises:
        UserError: an array's type has no counterpart in PyTorch.
    """
    ready = {name: _little_endian(name, array) for name, array in arrays.items()}
    with (
        whole_file(Path(path)) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
    ):
        _add(archive, "data.pkl", _pickle(ready))
        _add(archive, "byteorder", b"little")
        for index, array in enumerate(ready.values()):
            _add(archive, f"data/{index}", array.tobytes())
        _add(archive, "version", b"3\n")


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a numpy archive in one step."""
    with whole_file(Path(path)) as partial, partial.open("wb") as file:
        save_arrays(file, arrays)


def write_jittor(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes what `jt.load` and `Module.load` read: a pickle of arrays and its checksum."""
    pickled = pickle.dumps({name: np.asarray(a, order="C") for name, a in arrays.items()}, 4)
    with whole_file(Path(path)) as partial:
        partial.write_bytes(pickled + hashlib.sha1(pickled).digest() + JITTOR_MARK)


def write_pickle(path: str | Path, contents: Any) -> None:
    """Writes containers of arrays in one step, in protocol 2 as mmcv's `dump` does."""
    with whole_file(Path(path)) as partial, partial.open("wb") as file:
        pickle.dump(contents, file, protocol=2)


def _save(arrays: dict[str, np.ndarray], path: Path, metadata: dict[str, str] | None) -> None:
    try:
        save_tensors(path, arrays, metadata)
    except SafetensorError as error:  # in its own words, of a disk that is full
        raise OSError(str(error)) from error


def _sort_metadata(path: Path) -> None:
    """The library writes metadata in an order that differs from run to run."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise RuntimeError(f"the header of {path} does not fit its place")
        file.seek(8)
        file.write(text.ljust(length))


def _little_endian(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.name not in _STORAGE_NAMES:
        raise UserError(f"{name} has type {array.dtype}, which PyTorch cannot hold")
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A fixed time, so that the same weights give the same bytes.
    archive.writestr(zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0)), data)


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    """OrderedDict(name=tensor, …) in protocol 2, by hand because it names PyTorch's functions."""
    parts = [pickle.PROTO + b"\x02", _ordered_dict(), pickle.MARK]
    for index, (name, array) in enumerate(arrays.items()):
        parts += [_text(name), _tensor(str(index), array)]
    return b"".join([*parts, pickle.SETITEMS, pickle.STOP])


def _tensor(key: str, array: np.ndarray) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())."""
    strides = [stride // array.itemsize for stride in array.strides]
    storage = _tuple(
        _text("storage"),
        _global("torch", _STORAGE_NAMES[array.dtype.name]),
        _text(key),
        _text("cpu"),
        _integer(array.size),
    )
    arguments = _tuple(
        storage + pickle.BINPERSID,
        _integer(0),
        _tuple(*map(_integer, array.shape)),
        _tuple(*map(_integer, strides)),
        pickle.NEWFALSE,
        _ordered_dict(),
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _ordered_dict() -> bytes:
    return _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(value: str) -> bytes:
    encoded = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    encoded = pickle.encode_long(value)
    return pickle.LONG1 + bytes([len(encoded)]) + encoded


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE
