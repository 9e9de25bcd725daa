"""Symbolic versions of the functions that networks call: Jittor's, and ours with kernels.

Each one adds the operators that give the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jittor as jt
import numpy as np
from jittor import nn

from unidet.export.graph import INT64
from unidet.export.symbol import Symbol
from unidet.models import resnet
from unidet.ops import onednn
from unidet.ops.activation import _Relu, _Silu
from unidet.ops.attention import _BatchedMatmul
from unidet.ops.deformable_attention import _DeformableAttention
from unidet.ops.roi_align import _RoiAlign

RESIZES: dict[str, dict[str, Any]] = {
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    "nearest": {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    },
}

# --- Jittor's functions --------------------------------------------------------------------------


def unary(op: str) -> Callable[[Symbol], Symbol]:
    return lambda x: x.node(op, shape=x.shape)


def binary(op: str) -> Callable[[Any, Any], Symbol]:
    def record(left: Any, right: Any) -> Symbol:
        first = left if isinstance(left, Symbol) else right.like(left)
        return first.elementwise(op, right)

    return record


def concat(values: Sequence[Symbol], dim: int = 0) -> Symbol:
    first, *others = values
    axis = dim % first.ndim
    shape = list(first.shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    return first.node("Concat", *others, shape=shape, axis=axis)


def stack(values: Sequence[Symbol], dim: int = 0) -> Symbol:
    return concat([value.unsqueeze(dim) for value in values], dim)


def chunk(value: Symbol, chunks: int, dim: int = 0) -> list[Symbol]:
    """Splits an axis into equal parts."""
    size, rest = divmod(value.shape[dim], chunks)
    if rest:
        raise ValueError(f"{chunks} parts of {value.shape}")
    before = (slice(None),) * dim
    keys = ((*before, slice(part * size, (part + 1) * size)) for part in range(chunks))
    return [value[key] for key in keys]


def clamp(value: Symbol, low: float, high: float) -> Symbol:
    return value.node("Clip", low, high, shape=value.shape)


def matmul(left: Symbol, right: Symbol) -> Symbol:
    shape = [*left.shape[:-1], right.shape[-1]]
    return left.node("MatMul", right, shape=shape)


def linear(value: Symbol, weight: Symbol, bias: Symbol | None = None) -> Symbol:
    product = matmul(value, weight.transpose(1, 0))
    return product if bias is None else product + bias


def softmax(value: Symbol, dim: int) -> Symbol:
    return value.node("Softmax", shape=value.shape, axis=dim % value.ndim)


def leaky_relu(value: Symbol, scale: float) -> Symbol:
    return value.node("LeakyRelu", shape=value.shape, alpha=scale)


def interpolate(
    value: Symbol, size: Sequence[int], mode: str = "bilinear", align_corners: bool = False
) -> Symbol:
    """Only whole factors: the graph stores factors, because the batch size is dynamic."""
    factors = [new / old for new, old in zip(size, value.shape[2:], strict=True)]
    if align_corners or any(factor != int(factor) for factor in factors):
        raise ValueError(f"interpolation of {value.shape} to {list(size)}")
    scales = value.like(np.array([1, 1, *factors], np.float32))
    inputs = [value.reference(), "", scales.reference()]
    (name,) = value.graph.add("Resize", inputs, **RESIZES[mode])
    return Symbol(value.graph, name, [*value.shape[:2], *size])


def pad(value: Symbol, padding: Sequence[int]) -> Symbol:
    """Pads maps with zeros; `padding` is left, right, top, bottom."""
    left, right, top, bottom = padding
    height, width = value.shape[2:]
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    shape = [*value.shape[:2], height + top + bottom, width + left + right]
    return value.node("Pad", pads, shape=shape)


def max_pool(value: Symbol, kernel: int, stride: int, padding: int) -> Symbol:
    sides = [(side + 2 * padding - kernel) // stride + 1 for side in value.shape[2:]]
    return value.node(
        "MaxPool",
        shape=[*value.shape[:2], *sides],
        kernel_shape=[kernel] * 2,
        strides=[stride] * 2,
        pads=[padding] * 4,
    )


def mean_pool(value: Symbol, stride: int) -> Symbol:
    """`models.resnet.mean_pool`, which reshapes to fixed sides."""
    if stride == 1:
        return value
    shape = [*value.shape[:2], *(side // stride for side in value.shape[2:])]
    return value.node("AveragePool", shape=shape, kernel_shape=[stride] * 2, strides=[stride] * 2)


PLACES: dict[tuple[Any, str], Callable[..., Any]] = {
    (jt, "sigmoid"): unary("Sigmoid"),
    (jt, "log"): unary("Log"),
    (jt, "exp"): unary("Exp"),
    (jt, "sqrt"): unary("Sqrt"),
    (jt, "erf"): unary("Erf"),
    (jt, "maximum"): binary("Max"),
    (jt, "minimum"): binary("Min"),
    (jt, "clamp"): clamp,
    (jt, "concat"): concat,
    (jt, "stack"): stack,
    (jt, "chunk"): chunk,
    (jt, "matmul"): matmul,
    (nn, "linear"): linear,
    (nn, "softmax"): softmax,
    (nn, "leaky_relu"): leaky_relu,
    (nn, "relu6"): lambda value: clamp(value, 0.0, 6.0),
    (nn, "interpolate"): interpolate,
    (nn, "pad"): pad,
    (nn, "max_pool2d"): max_pool,
    (resnet, "mean_pool"): mean_pool,
}
"""(module, function name) -> its symbolic version."""
NEVER = ((onednn, "has_avx512"),)
"""(module, function name) of checks that return False, so that maps have the plain layout."""

# --- our functions with kernels ------------------------------------------------------------------


def _silu(function: _Silu, value: Symbol) -> Symbol:
    return value * jt.sigmoid(value)


def _deformable_attention(
    function: _DeformableAttention,
    values_NSAD: Symbol,
    locations_NQAK2: Symbol,
    weights_NQAK: Symbol,
    levels_L3: Symbol,
) -> Symbol:
    """Samples each level as a separate map, for each head of each image."""
    images, cells, heads, width = values_NSAD.shape
    queries, samples = weights_NQAK.shape[1], weights_NQAK.shape[3]
    assert levels_L3.value is not None
    points = samples // len(levels_L3.value)
    maps = values_NSAD.transpose(0, 2, 3, 1).reshape(images * heads, width, cells)
    places = locations_NQAK2.transpose(0, 2, 1, 3, 4) * 2.0 - 1.0
    places = places.reshape(images * heads, queries, samples, 2)
    parts = []
    for level, (height, columns, start) in enumerate(levels_L3.value.tolist()):
        cut = maps[:, :, start : start + height * columns]
        part = cut.reshape(images * heads, width, height, columns).node(
            "GridSample",
            places[:, :, level * points : (level + 1) * points],
            shape=[images * heads, width, queries, points],
            mode="bilinear",
            padding_mode="zeros",
            align_corners=0,
        )
        parts.append(part)
    shares = weights_NQAK.transpose(0, 2, 1, 3).reshape(images * heads, 1, queries, samples)
    sums = (concat(parts, 3) * shares).sum(3)
    return sums.reshape(images, heads, width, queries).transpose(0, 3, 1, 2)


def _roi_align(function: _RoiAlign, feats_NCHW: Symbol, rois_R5: Symbol) -> Symbol:
    """The operator samples at the same points as ours; `aligned` is its mode half_pixel."""
    height, width = function.size
    aligned = function.values["aligned"]
    rows = rois_R5[:, 0].node("Cast", shape=rois_R5.shape[:1], to=INT64)
    return feats_NCHW.node(
        "RoiAlign",
        rois_R5[:, 1:],
        rows,
        shape=[rois_R5.shape[0], feats_NCHW.shape[1], height, width],
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        mode="avg",
        output_height=height,
        output_width=width,
        sampling_ratio=int(function.values["ratio"]),
        spatial_scale=function.values["scale"],
    )


FUNCTIONS: dict[type, Callable[..., Symbol]] = {
    _Relu: lambda function, value: value.node("Relu", shape=value.shape),
    _Silu: _silu,
    _BatchedMatmul: lambda function, left, right: matmul(left, right),
    _DeformableAttention: _deformable_attention,
    _RoiAlign: _roi_align,
}
"""`jt.Function` -> its symbolic version, called with the function and its arguments."""
