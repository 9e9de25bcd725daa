"""Canonical JSON and SHA-256: the one way in which values, files and artefacts get their names."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

BUFFER_BYTES = 1 << 20


def normalise(value: Any, where: str = "value") -> Any:
    """Plain JSON data equal to `value`: tuples become lists, numpy scalars become Python numbers.

    Raises:
        TypeError: a type whose text form is not certain (paths, arrays, objects, non-string keys).
        ValueError: NaN or infinity.
    """
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise ValueError(f"{where}: {value} cannot be part of a key")
        return value
    if isinstance(value, tuple | list):
        return [normalise(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _normalise_mapping(value, where)
    raise TypeError(f"{where}: {type(value).__name__} cannot be part of a key")


def _normalise_mapping(value: Mapping[Any, Any], where: str) -> dict[str, Any]:
    for key in value:
        if type(key) is not str:
            raise TypeError(f"{where}: the key {key!r} is not a string")
    return {key: normalise(item, f"{where}.{key}") for key, item in value.items()}


def canonical_json(value: Any) -> bytes:
    """The one UTF-8 text of a value: sorted keys, no spaces, non-ASCII written as itself."""
    text = json.dumps(
        normalise(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    # File names that are not UTF-8 reach Python as escaped surrogates; this gives their bytes back.
    return text.encode("utf-8", "surrogateescape")


def sha256_bytes(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return sha256_bytes(canonical_json(value))


def key_of(preimage: Mapping[str, Any]) -> str:
    """The key of the action that `preimage` describes: all that its result depends on."""
    return digest(preimage)


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's content in one streaming pass; other threads go on meanwhile.

    Raises:
        OSError: it cannot be read, or is none whose reading ends.
    """
    require_end(path)
    return _stream(path, None)


def require_end(path: Path | str) -> None:
    """OSError where a path is nothing, or what might never be read to its end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        reason = "is no file, but a pipe, a socket or a device"
        raise OSError(errno.EINVAL, reason, os.fspath(path))


def copy_hashed(source: Path | str, target: Path | str) -> str:
    """Copy a file's bytes and hash them, in the same pass."""
    return _stream(source, target)


def _stream(source: Path | str, target: Path | str | None) -> str:
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(BUFFER_BYTES))
    out = None if target is None else open(target, "xb", buffering=0)  # noqa: SIM115
    try:
        with open(source, "rb", buffering=0) as stream:
            while count := _read_into(stream, buffer):
                hasher.update(buffer[:count])
                if out is not None:
                    write_all(out.fileno(), buffer[:count])
    finally:
        if out is not None:
            out.close()
    return hasher.hexdigest()


def _read_into(stream: FileIO, buffer: memoryview) -> int:
    try:
        return stream.readinto(buffer)
    except OSError as error:
        error.filename = str(stream.name)  # which a disk that fails does not say
        raise


def write_all(descriptor: int, data: memoryview | bytes) -> None:
    """Write all bytes; what the system takes at once may be fewer."""
    while data:
        data = data[os.write(descriptor, data) :]


def output_digest(files: Iterable[tuple[str, str, int]]) -> str:
    """Digest of an artefact: its files as (relative path, sha256, size), in order of path."""
    return digest([list(row) for row in sorted(files)])
