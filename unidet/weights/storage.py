"""Tensors as PyTorch stores them: a flat storage, and strided views into it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.weights.stand_ins import Unaltered

BFLOAT16 = "bfloat16"  # the upper 16 bits of a float32
# Name of the storage class in `torch` -> numpy type of one element, or BFLOAT16.
STORAGE_TYPES: dict[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
# Storage classes whose elements are not read: the element's type and its bytes.
_UNREAD_STORAGES: dict[str, tuple[str, int]] = {
    "QInt8Storage": ("qint8", 1),
    "QUInt8Storage": ("quint8", 1),
    "QInt32Storage": ("qint32", 4),
    "QUInt4x2Storage": ("quint4x2", 1),
    "QUInt2x4Storage": ("quint2x4", 1),
    "ComplexFloatStorage": ("complex64", 8),
    "ComplexDoubleStorage": ("complex128", 16),
}
_UNREAD_SIZES = dict(_UNREAD_STORAGES.values())
# float8_e4m3fn, complex64, quint8, int4, bits16, …
_UNREAD_DTYPE = re.compile(r"(float|complex|q?u?int|bits)\d\w*")
# Name of a dtype in `torch` -> as above.
DTYPES: dict[str, str] = {
    "float64": "float64",
    "float32": "float32",
    "float16": "float16",
    "bfloat16": BFLOAT16,
    "int64": "int64",
    "int32": "int32",
    "int16": "int16",
    "int8": "int8",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "bool": "bool",
}


def storage_kind(name: str) -> str | None:
    """Element type of a storage class in `torch`, read or not; None where it is none."""
    return STORAGE_TYPES.get(name) or _UNREAD_STORAGES.get(name, (None,))[0]


def dtype_kind(name: str) -> str | None:
    """The same of a dtype in `torch`."""
    return DTYPES.get(name) or (name if _UNREAD_DTYPE.fullmatch(name) else None)


def numpy_type(kind: str) -> np.dtype[Any]:
    """The numpy type that holds one stored element; bfloat16 travels as its 16 bits, types that
    are not read as bytes."""
    if kind in DTYPES:
        return np.dtype("uint16" if kind == BFLOAT16 else kind).newbyteorder("<")
    return np.dtype(f"V{_UNREAD_SIZES.get(kind, 1)}")


def unread_type(name: str, kind: str) -> UserError:
    """The message about tensor `name`, whose element type is not supported."""
    return UserError(
        f"{name} is of type {kind}, which is not read; save it as float32, float16 or bfloat16 "
        "first (in PyTorch: .dequantize() of quantized tensors, .float() of others)"
    )


@dataclass
class Storage(Unaltered):
    """`count` elements of `kind`; `data` may arrive after the views that refer to it."""

    kind: str
    count: int
    data: bytes | bytearray | None = None


@dataclass(frozen=True)
class Tensor(Unaltered):
    """A view: element (i, j, …) lies at `offset + i * strides[0] + j * strides[1] + …`."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str

    @property
    def size(self) -> int:
        """Bytes of its elements; a view with a stride of 0 has more than its storage."""
        return math.prod(self.shape) * numpy_type(self.kind).itemsize

    def array(self, name: str) -> np.ndarray:
        """A contiguous copy; bfloat16 becomes float32, everything else keeps its type.

        Raises:
            UserError: it is of a type that is not read, the view reaches beyond its storage, or
                the storage's bytes are missing.
        """
        if self.kind not in DTYPES:
            raise unread_type(name, self.kind)
        element = numpy_type(self.kind)
        data = self.storage.data
        if data is None:
            raise UserError(f"the bytes of {name} are missing")
        self._check(name, len(data) // element.itemsize)
        if math.prod(self.shape) == 0:
            view = np.zeros(self.shape, element)
        else:
            # Unlike `as_strided`, which crashes above numpy's number of dimensions, it checks all
            strides = tuple(stride * element.itemsize for stride in self.strides)
            begin = self.offset * element.itemsize
            view = np.ndarray(self.shape, element, data, begin, strides)
        if self.kind == BFLOAT16:
            # An array also of a scalar, of which `<<` makes a number
            return np.asarray(view.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return np.array(view, dtype=element.newbyteorder("="), order="C")

    def _check(self, name: str, available: int) -> None:
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or min(numbers) < 0:
            raise UserError(f"{name} has a malformed shape {self.shape} or strides {self.strides}")
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((length - 1) * stride for length, stride in steps)
        if math.prod(self.shape) and last >= available:
            raise UserError(f"{name} needs element {last} of a storage of {available}")
