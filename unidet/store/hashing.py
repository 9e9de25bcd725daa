"""Canonical JSON and SHA-256, by which values, files and artefacts are named."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from unidet.errors import require_end

BUFFER_BYTES = 1 << 20


def normalise(value: Any, where: str = "value") -> Any:
    """Convert a value to plain JSON data: tuples to lists, numpy scalars to Python numbers.

    Raises:
        TypeError: a type without a unique text form (paths, arrays, objects, non-string keys).
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
    """The unique JSON text of a value in UTF-8: sorted keys, no spaces, non-ASCII unescaped."""
    text = json.dumps(
        normalise(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    # Python represents file names that are not UTF-8 by surrogates; this restores their bytes.
    return text.encode("utf-8", "surrogateescape")


def sha256_bytes(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return sha256_bytes(canonical_json(value))


def key_of(preimage: Mapping[str, Any]) -> str:
    """The key of an action; `preimage` describes everything that its result depends on."""
    return digest(preimage)


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's content in one streaming pass, which releases Python's global lock.

    Raises:
        OSError: the file cannot be read, or is a pipe, socket or device.
    """
    require_end(path)
    return _stream(path, None)


def copy_hashed(source: Path | str, target: Path | str) -> str:
    """Copy a file and return its SHA-256, in one pass."""
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
                    with naming(out.name):
                        write_all(out.fileno(), buffer[:count])
    finally:
        if out is not None:
            out.close()
    return hasher.hexdigest()


def _read_into(stream: FileIO, buffer: memoryview) -> int:
    with naming(stream.name):
        return stream.readinto(buffer)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Meanwhile errors of an open file get its name, which only errors of opening have."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_all(descriptor: int, data: memoryview | bytes) -> None:
    """Write all bytes; one call of `os.write` may write fewer."""
    while data:
        data = data[os.write(descriptor, data) :]


def output_digest(files: Iterable[tuple[str, str, int]]) -> str:
    """Digest of an artefact, given its files as (relative path, sha256, size)."""
    return digest([list(row) for row in sorted(files)])
