"""Reads the convolutions of an ncnn network: a text graph `.param` beside its weights `.bin`.

Format: ncnn docs/how-to-use-and-FAQ, param-and-model-file-structure; src/modelbin.cpp
`ModelBinFromDataReader::load`. Norms are expected to be folded into the convolutions, as ncnn's
own optimiser does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unidet.errors import HEAD, UserError, other_kind

MAGIC = b"7767517"
"""First line of every `.param`."""
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
WITHOUT_WEIGHTS = (
    *("BinaryOp", "Clip", "Concat", "Crop", "Dropout", "Eltwise", "ExpandDims", "Flatten"),
    *("HardSigmoid", "HardSwish", "Input", "Interp", "Noop", "Padding", "Permute", "Pooling"),
    *("ReLU", "Reshape", "ShuffleChannel", "Sigmoid", "Slice", "Softmax", "Split", "Squeeze"),
    *("Swish", "UnaryOp"),
)
_OUTPUTS, _WIDTH, _HAS_BIAS, _WEIGHTS, _INT8, _HEIGHT = 0, 1, 5, 6, 8, 11
_FLOAT32 = (0, 0x0002C056)
_FLOAT16 = 0x01306B47


@dataclass(frozen=True)
class Convolution:
    """One layer: weight (out, in per group, height, width) and bias (out,), float32."""

    name: str
    weight: np.ndarray
    bias: np.ndarray


def is_ncnn(path: Path) -> bool:
    """Whether `path` is an ncnn graph or the weights of one that lies beside it."""
    graph = path.with_suffix(".param") if path.suffix == ".bin" else path
    if not graph.is_file():
        return False
    with graph.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_ncnn(path: Path) -> list[Convolution]:
    """The convolutions of a network in the order of its graph; `path` is either file of the two.

    Raises:
        UserError: a file is absent, malformed, truncated or too long; a layer type that is not
            known, or weights that are neither float16 nor float32.
    """
    graph, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    for file in (graph, weights):
        if not file.is_file():
            raise UserError(f"an ncnn network is two files; there is no {file}")
    layers = list(_layers(graph))
    data = _Data(weights)
    values = [_convolution(layer, data) for layer in layers if layer.kind in CONVOLUTIONS]
    data.finish()
    return values


@dataclass(frozen=True)
class _Layer:
    graph: Path
    kind: str
    name: str
    values: dict[int, int]

    def complain(self, what: str) -> UserError:
        return UserError(f"{self.graph}: layer {self.name} ({self.kind}) {what}")


def _layers(graph: Path) -> Iterator[_Layer]:
    try:
        lines = graph.read_text("ascii").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{graph} is not an ncnn graph: it is not text") from None
    if not lines or lines[0].strip().encode() != MAGIC:
        raise UserError(f"{graph} is not an ncnn graph: it does not start with {MAGIC.decode()}")
    count = lines[1].split()[0] if len(lines) > 1 and lines[1].strip() else "?"
    rows = [line.split() for line in lines[2:] if line.strip()]
    if count != str(len(rows)):
        raise UserError(f"{graph} is truncated: it has {len(rows)} of {count} layers")
    for row in rows:
        yield _layer(graph, row)


def _layer(graph: Path, row: list[str]) -> _Layer:
    known = sorted((*CONVOLUTIONS, *WITHOUT_WEIGHTS))
    if row[0] not in known:
        name = row[1] if len(row) > 1 else "?"
        raise UserError(
            f"{graph}: layer {name} has the unknown type {row[0]}; known are {', '.join(known)}"
        )
    try:
        first = 4 + int(row[2]) + int(row[3])
        pairs = (entry.split("=") for entry in row[first:])
        # what is read here are whole numbers; arrays and fractions are not
        numbers = {int(key): int(value) for key, value in pairs if value.isdigit()}
    except (IndexError, ValueError):
        raise UserError(f"{graph}: malformed layer {' '.join(row[:2])}") from None
    return _Layer(graph, row[0], row[1], numbers)


class _Data:
    """The `.bin`, read piece by piece."""

    def __init__(self, path: Path) -> None:
        self._path, self._bytes, self._at = path, path.read_bytes(), 0
        if reason := other_kind(self._bytes[:HEAD]):
            raise UserError(f"{path} {reason}")

    def numbers(self, count: int, kind: str) -> np.ndarray:
        """The next `count` numbers as float32."""
        size = count * np.dtype(kind).itemsize
        if self._at + size > len(self._bytes):
            missing = self._at + size - len(self._bytes)
            raise UserError(f"{self._path} is truncated: at least {missing} bytes are missing")
        values = np.frombuffer(self._bytes, kind, count, self._at)
        self._at += size
        return values.astype(np.float32) if kind != "<u4" else values

    def tagged(self, layer: _Layer, count: int) -> np.ndarray:
        """A block of weights behind its tag, padded to 4 bytes."""
        tag = int(self.numbers(1, "<u4")[0])
        if tag in _FLOAT32:
            return self.numbers(count, "<f4")
        if tag != _FLOAT16:
            raise layer.complain(
                f"has weights of the kind {tag:#010x}; float16 and float32 are read"
            )
        values = self.numbers(count, "<f2")
        self._at += -self._at % 4
        return values

    def finish(self) -> None:
        if self._at != len(self._bytes):
            left = len(self._bytes) - self._at
            raise UserError(
                f"{self._path} does not belong to the .param: {left} bytes are left over"
            )


def _convolution(layer: _Layer, data: _Data) -> Convolution:
    values = layer.values
    if values.get(_INT8):
        raise layer.complain("is quantized to 8 bits; float16 and float32 are read")
    outputs, total = values.get(_OUTPUTS, 0), values.get(_WEIGHTS, 0)
    width = values.get(_WIDTH, 0)
    height = values.get(_HEIGHT, width)
    area = outputs * width * height
    if area <= 0 or total <= 0 or total % area:
        raise layer.complain(f"has {total} weights for {outputs} filters of {height}x{width}")
    weight = data.tagged(layer, total).reshape(outputs, -1, height, width)
    has_bias = values.get(_HAS_BIAS, 0)
    bias = data.numbers(outputs, "<f4") if has_bias else np.zeros(outputs, np.float32)
    return Convolution(layer.name, weight, bias)
