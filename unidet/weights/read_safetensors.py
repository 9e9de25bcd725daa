"""Reads safetensors, bfloat16 included, which numpy has no type for.

Format: eight bytes with the length of a JSON header, the header, the tensors' bytes
(huggingface/safetensors, README.md).
"""

from __future__ import annotations

import json
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from unidet.weights.storage import Storage, Tensor, unread_type

_LENGTH_BYTES = 8
_KINDS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor by name; bfloat16 becomes float32, every other type is kept.

    Raises:
        UserError: a tensor is of a type that is not read.
        SafetensorError, ValueError: it is truncated or damaged.
    """
    header, start = _header(path)
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] not in _KINDS:
            raise unread_type(name, str(entry["dtype"])[:40])
    with safe_open(path, "np") as checked:  # lengths, offsets, no gap, no overlap
        names = list(checked.keys())
    with path.open("rb") as file:
        return {name: _read(file, start, header[name]).array(name) for name in names}


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The entries, and where the tensors' bytes begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > path.stat().st_size:
            raise ValueError(f"a header of {length} bytes")
        header = json.loads(file.read(length))
    return header, _LENGTH_BYTES + length


def _read(file: Any, start: int, entry: dict[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    file.seek(start + begin)
    data = file.read(end - begin)
    shape = tuple(entry["shape"])
    kind = _KINDS[entry["dtype"]]
    strides = [*accumulate((1, *shape[:0:-1]), mul)][::-1] if shape else []
    return Tensor(Storage(kind, len(data), data), 0, shape, tuple(strides), kind)
