"""Layers for inference on blocked maps, without gradients.

Filters are packed once. The number of channels need not be a multiple of LANES. N: images,
C: channels, H, W: cells, O: filters of K x K cells; see blocked_maps.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jittor as jt

from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import LANES, channel_count, is_blocked
from unidet.ops.onednn import require_shape, run

WINOGRAD_MAX_CHANNELS = 256
"""Most channels for Winograd: larger transformed filters (16 numbers for 9) do not fit in cache."""

POINTWISE_MAX_CHANNELS = 512
"""Most channels for our own product of cells and filters; oneDNN's is faster on more."""
_KERNELS = {
    "image": "convolve_image",
    "direct": "convolve_packed",
    "pointwise": "multiply_packed",
    "winograd": "winograd",
    "depthwise": "depthwise_packed",
}
"""Kernel by kind of filters."""


@dataclass(frozen=True)
class Filters:
    """Filters of a convolution in a kernel's memory layout, with the scale and shift of its sums.

    Attributes:
        kind: the kernel. `image` takes plain maps, the others blocked ones; `pointwise` has filters
            of one cell, `depthwise` one filter per channel.
        values: the filters in the layout of that kernel, zero-padded to a multiple of LANES.
        scale, shift: (O padded to a multiple of LANES,), applied to the sums of each filter.
        channels, side, stride: C, K and the stride in cells.
        padding, padding_after: zero padding at the top and left, and at the bottom and right.
    """

    kind: Literal["image", "direct", "pointwise", "winograd", "depthwise"]
    values: jt.Var
    scale: jt.Var
    shift: jt.Var
    channels: int
    side: int
    stride: int
    padding: int
    padding_after: int

    def cells(self, size: int) -> int:
        """Height or width of the output for an input of `size` cells."""
        return (size + self.padding + self.padding_after - self.side) // self.stride + 1


def norm_factors(norm: BatchNorm2d) -> tuple[jt.Var, jt.Var]:
    """Scale and shift (C,) of a batch norm that uses its running statistics."""
    statistics = [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    channels = norm.weight.shape[0]
    scale, shift = run("norm_factors", [(channels,)] * 2, statistics, (channels, norm.eps))
    return scale, shift


def pack_filters(
    weight_OCKK: jt.Var,
    scale_O: jt.Var,
    shift_O: jt.Var,
    *,
    stride: int,
    padding: int,
    image: bool = False,
) -> Filters:
    """Pack the filters of a convolution.

    `image` packs for plain maps. Otherwise the kernel takes blocked maps. Winograd is chosen for
    3 x 3 filters with stride 1 and padding 1 if C and O fill their blocks and are at most
    `WINOGRAD_MAX_CHANNELS`, a product of matrices for filters of one cell. ValueError where a shape
    does not fit the others, or an image would have more than LANES channels.
    """
    filters, channels, side = weight_OCKK.shape[:3]
    require_shape("filters", weight_OCKK, (filters, channels, side, side))
    _require_factors(scale_O, shift_O, filters)
    if image and channels > LANES:
        raise ValueError(f"images of {channels} channels, must be at most {LANES}")
    kind: Literal["image", "direct", "pointwise", "winograd"] = "image" if image else "direct"
    whole = channels % LANES == 0 and filters % (2 * LANES) == 0
    if kind == "direct" and (side, stride, padding) == (3, 1, 1) and whole:
        kind = "winograd" if max(channels, filters) <= WINOGRAD_MAX_CHANNELS else kind
    if kind == "direct" and (side, stride, padding) == (1, 1, 0):
        kind = "pointwise" if channels <= POINTWISE_MAX_CHANNELS else kind
    if kind == "winograd":
        transformed = (16, filters // (2 * LANES), channels, 2 * LANES)
        (values,) = run("transform_filters", [transformed], [weight_OCKK], (filters, channels))
    else:
        packed = (-(-filters // LANES), -(-channels // LANES), side, side, LANES, LANES)
        (values,) = run("pack_filters", [packed], [weight_OCKK], (filters, channels, side))
    factors = _pad_to_lanes(scale_O), _pad_to_lanes(shift_O)
    return Filters(kind, values, *factors, channels, side, stride, padding, padding)


def pack_depthwise_filters(
    weight_C1KK: jt.Var,
    scale_C: jt.Var,
    shift_C: jt.Var,
    *,
    stride: int,
    before: int,
    after: int,
) -> Filters:
    """Pack the filters of a depthwise convolution.

    `before` is the zero padding at the top and left, `after` that at the bottom and right.
    ValueError where a shape does not fit the others.
    """
    channels, _, side = weight_C1KK.shape[:3]
    require_shape("depthwise filters", weight_C1KK, (channels, 1, side, side))
    _require_factors(scale_C, shift_C, channels)
    taps = _pad_to_lanes(weight_C1KK).reshape((-1, LANES, side, side)).permute(0, 2, 3, 1)
    factors = _pad_to_lanes(scale_C), _pad_to_lanes(shift_C)
    return Filters("depthwise", taps, *factors, channels, side, stride, before, after)


def _require_factors(scale_O: jt.Var, shift_O: jt.Var, filters: int) -> None:
    for what, values in (("a scale", scale_O), ("a shift", shift_O)):
        require_shape(what, values, (filters,))


def _pad_to_lanes(values: jt.Var) -> jt.Var:
    """`values` with the first dimension zero-padded to a multiple of LANES."""
    rest = -values.shape[0] % LANES
    return jt.concat([values, jt.zeros((rest, *values.shape[1:]))], dim=0) if rest else values


def convolve(
    feats: jt.Var,
    filters: Filters,
    *,
    slope: float = 1.0,
    silu: bool = False,
    residual: jt.Var | None = None,
    residual_last: bool = False,
) -> jt.Var:
    """Convolution with scale, shift, activation and residual, to a blocked map.

    Computes f(scale * (feats conv filters) + shift + residual); with `residual_last` the residual
    is added after f. f(z) is max(z, slope * z), or SiLU with `silu`. Filters of kind `depthwise`
    take only a slope.

    Raises:
        ValueError: the channels differ, the residual has another shape than the result, or the kind
            of filters does not take these options.
    """
    padding = channel_count(feats) - filters.channels
    most = LANES if is_blocked(feats) else 1  # an image has no padding channels
    if is_blocked(feats) == (filters.kind == "image") or padding not in range(most):
        raise ValueError(f"maps {tuple(feats.shape)} do not fit filters of {filters.channels}")
    if filters.kind == "depthwise" and (silu or residual is not None):
        raise ValueError("nothing but a slope follows a depthwise convolution")
    images, _, rows, columns = feats.shape[:4]
    blocks = filters.shift.shape[0] // LANES
    out = filters.cells(rows), filters.cells(columns)
    channels = filters.channels if filters.kind == "pointwise" else channel_count(feats)
    numbers = (images, channels, rows, columns, blocks * LANES, *out)
    shape = (images, blocks, *out, LANES)
    require_shape("a residual", residual, shape)
    inputs = [feats, filters.values, filters.scale, filters.shift]
    after: tuple[float, ...] = (slope,)
    if filters.kind != "depthwise":
        inputs, after = [*inputs, residual], (slope, silu, residual_last)
    return run(
        _KERNELS[filters.kind],
        [shape],
        inputs,
        (*numbers, filters.side, filters.stride, filters.padding, *after),
    )[0]


def interleave_channels(first: jt.Var, second: jt.Var, half: int, start: int, count: int) -> jt.Var:
    """Channels `start` to `start + count` of two maps whose channels are interleaved.

    Channel 2 i of the interleaved map is channel i of `first`, and 2 i + 1 is channel i of
    `second`. Both maps have `half` channels. ValueError where they have fewer, or are not alike.
    """
    images, blocks, rows, columns, _ = first.shape
    require_shape("the second map", second, first.shape)
    if half > blocks * LANES or not 0 <= start < start + count <= 2 * half:
        raise ValueError(f"channels {start} to {start + count} of two maps {tuple(first.shape)}")
    return run(
        "interleave",
        [(images, -(-count // LANES), rows, columns, LANES)],
        [first, second],
        (images, half, rows * columns, start, count),
    )[0]


def resize_bilinear(feats: jt.Var, size: tuple[int, int]) -> jt.Var:
    """Bilinear resize to (height, width), with align_corners false."""
    images, blocks, rows, columns, _ = feats.shape
    shape = (images, blocks, *size, LANES)
    return run("stretch", [shape], [feats], (images, blocks, rows, columns, *size))[0]


def flatten_cells(feats: jt.Var, channels: int) -> jt.Var:
    """(N, H * W, channels): the first channels of a blocked map, cell by cell, row by row.

    ValueError where it has fewer.
    """
    images, blocks, rows, columns, _ = feats.shape
    if channels > blocks * LANES:
        raise ValueError(f"{channels} channels of a map {tuple(feats.shape)}")
    cells = rows * columns
    numbers = images, blocks, cells, channels
    return run("flatten", [(images, cells, channels)], [feats], numbers)[0]
