"""Columns straight from the text of JSON records, by a scanner in C++ (scanner_source.py).

It is thirty times as fast as creating millions of Python objects. It reads records of the same keys
whose values of interest are plainly of their kind, and gives up at anything else: that is read as
on a machine without a compiler.
"""

from __future__ import annotations

import ctypes
import functools

import numpy as np

from unidet.backend.library import compiled
from unidet.backend.toolchain import find_compiler
from unidet.config.places import cache_root
from unidet.errors import UserError
from unidet.formats.batch_columns import BOX, Fields, kind_of
from unidet.formats.columns import OUTLINE, ROTATION
from unidet.formats.json_window import Scan, Scanned
from unidet.formats.scanner_source import SOURCE

WORTHWHILE = 1 << 18
"""Characters below which nobody waits for a compiler."""
_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared")
_MOST_KEYS = 64
_RARE = (OUTLINE, ROTATION)
"""Kinds that matter in few files: those are read without the scanner, in others they are passed
over."""


class _Field(ctypes.Structure):
    _fields_ = [
        ("key", ctypes.c_char_p),
        ("length", ctypes.c_int64),
        ("values", ctypes.c_void_p),
        ("kind", ctypes.c_int64),
    ]


def scan_of(fields: Fields) -> Scan | None:
    """A scanner of these fields, and other spellings of flags; None if it could read none."""
    if any(kind.scanned == 0 and kind not in _RARE for kind in fields.values()):
        return None
    return functools.partial(_scan, fields)


def _scan(fields: Fields, text: str) -> Scanned | None:
    if len(text) < WORTHWHILE or not text.isascii() or (library := _library()) is None:
        return None
    encoded = text.encode()
    keys = _keys(library, encoded)
    if not keys or "\\" in "".join(keys) or len(set(keys)) < len(keys):
        return None
    kinds = [fields.get(key) for key in keys]
    if (OUTLINE in kinds and BOX not in keys) or (ROTATION in kinds and '"rotation"' in text):
        return None
    most = np.count_nonzero(np.frombuffer(encoded, np.uint8) == ord("{"))
    columns, places = {}, (_Field * len(keys))()
    for place, key in zip(places, keys, strict=True):
        kind = kind_of(key, fields)
        place.key, place.length = key.encode(), len(key)
        if kind is not None and kind not in _RARE:
            columns[key] = np.empty((most, kind.width) if kind.width else most, kind.dtype)
            place.values, place.kind = columns[key].ctypes.data, kind.scanned
    passed = ctypes.c_int64()
    count = library.unidet_scan(
        encoded, len(encoded), places, len(keys), most, ctypes.byref(passed)
    )
    if count < 0:
        return None
    return Scanned(count, passed.value, {key: array[:count] for key, array in columns.items()})


def _keys(library: ctypes.CDLL, text: bytes) -> list[str]:
    """The keys of the first record as they are written; none where it is no record."""
    ends = (ctypes.c_int64 * (2 * _MOST_KEYS))()
    count = library.unidet_keys(text, len(text), ends, _MOST_KEYS)
    return [text[ends[2 * key] : ends[2 * key + 1]].decode() for key in range(count)]


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The scanner; None where it cannot be compiled, without which all is read as well."""
    try:
        command = [str(find_compiler()), *_FLAGS]
        library = ctypes.CDLL(str(compiled(SOURCE, command, cache_root(), "scanner")))
    except (UserError, RuntimeError, OSError):
        return None
    text, number = (ctypes.c_char_p, ctypes.c_int64), ctypes.c_int64
    numbers = ctypes.POINTER(number)
    library.unidet_keys.argtypes = (*text, numbers, number)
    fields = (ctypes.POINTER(_Field), ctypes.c_int)
    library.unidet_scan.argtypes = (*text, *fields, number, numbers)
    library.unidet_keys.restype = library.unidet_scan.restype = ctypes.c_int64
    return library
