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
from unidet.ops.onednn import run

WINOGRAD_MAX_CHANNELS = 256
"""Most channels for Winograd: larger transformed filters (16 numbers for 9) do not fit in cache."""

_NUMBERS = """
const int channels = in0_shape1 * data["lanes"];
const int numbers[10] = {
    in0_shape0, channels, in0_shape2, in0_shape3, out0_shape1 * out0_shape4, out0_shape2,
    out0_shape3, (int)data["side"], (int)data["stride"], (int)data["zeros"]};
const float slope = data["slope"];
const bool silu = data["silu"] != 0, residual_last = data["last"] != 0;
"""


def _call(kernel: str, residual: str, *others: str) -> str:
    arguments = ("in0_p", "in1_p", "in2_p", "in3_p", residual, "out0_p", "numbers", *others)
    return f"{_NUMBERS}{kernel}({', '.join(filter(None, arguments))});"


_ACTIVATION = "slope", "silu", "residual_last"
_SOURCES = {
    ("direct", False): _call("unidet_convolve_packed", "nullptr", *_ACTIVATION),
    ("direct", True): _call("unidet_convolve_packed", "in4_p", *_ACTIVATION),
    ("winograd", False): _call("unidet_winograd", "nullptr", *_ACTIVATION),
    ("winograd", True): _call("unidet_winograd", "in4_p", *_ACTIVATION),
    ("depthwise", False): _call("unidet_depthwise_packed", "", "slope"),
    ("image", False): _call("unidet_convolve", "nullptr", "slope", "true"),
}
"""Source of the call, by kernel and by whether there is a residual."""


@dataclass(frozen=True)
class Filters:
    """Filters of a convolution in a kernel's memory layout, with the scale and shift of its sums.

    Attributes:
        kind: the kernel. `image` takes plain maps; `direct` and `winograd` take blocked maps;
            `depthwise` has one filter per channel.
        values: the filters in the layout of that kernel, zero-padded to a multiple of LANES.
        scale, shift: (O padded to a multiple of LANES,), applied to the sums of each filter.
        channels, side, stride: C, K and the stride in cells.
        padding, padding_after: zero padding at the top and left, and at the bottom and right.
    """

    kind: Literal["image", "direct", "winograd", "depthwise"]
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
    source = (
        'unidet_norm_factors(in0_p, in1_p, in2_p, in3_p, out0_p, out1_p, in0_shape0, data["eps"]);'
    )
    scale, shift = run(source, [norm.weight.shape] * 2, statistics, {"eps": norm.eps})
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
    `WINOGRAD_MAX_CHANNELS`.
    """
    filters, channels, side = weight_OCKK.shape[:3]
    kind: Literal["image", "direct", "winograd"] = "image" if image else "direct"
    whole = channels % LANES == 0 and filters % (2 * LANES) == 0
    if kind == "direct" and (side, stride, padding) == (3, 1, 1) and whole:
        kind = "winograd" if max(channels, filters) <= WINOGRAD_MAX_CHANNELS else kind
    if kind == "image":
        values = _pad_to_lanes(weight_OCKK)
    elif kind == "winograd":
        values = run(
            "unidet_transform_filters(in0_p, out0_p, in0_shape0, in0_shape1);",
            [(16, filters // (2 * LANES), channels, 2 * LANES)],
            [weight_OCKK],
        )[0]
    else:
        blocks = (-(-filters // LANES), -(-channels // LANES))
        values = run(
            "unidet_pack_filters(in0_p, out0_p, in0_shape0, in0_shape1, in0_shape2);",
            [(*blocks, side, side, LANES, LANES)],
            [weight_OCKK],
        )[0]
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
    """
    channels, _, side = weight_C1KK.shape[:3]
    taps = _pad_to_lanes(weight_C1KK).reshape((-1, LANES, side, side)).permute(0, 2, 3, 1)
    factors = _pad_to_lanes(scale_C), _pad_to_lanes(shift_C)
    return Filters("depthwise", taps, *factors, channels, side, stride, before, after)


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
    is added after f. f(z) is max(z, slope * z), or SiLU with `silu`. Filters of kind `image` and
    `depthwise` take only a slope.

    Raises:
        ValueError: the channels differ, or the kind of filters does not take these options.
    """
    padding = channel_count(feats) - filters.channels
    if is_blocked(feats) == (filters.kind == "image") or padding not in range(LANES):
        raise ValueError(f"maps {tuple(feats.shape)} do not fit filters of {filters.channels}")
    if filters.kind in ("image", "depthwise") and (silu or residual is not None):
        raise ValueError(f"nothing but a slope follows a convolution of kind {filters.kind}")
    inputs = [feats, filters.values, filters.scale, filters.shift]
    if residual is not None:
        inputs.append(residual)
    images, _, rows, columns = feats.shape[:4]
    blocks = filters.shift.shape[0] // LANES
    return run(
        _SOURCES[filters.kind, residual is not None],
        [(images, blocks, filters.cells(rows), filters.cells(columns), LANES)],
        inputs,
        {
            "lanes": 1 if filters.kind == "image" else LANES,
            "side": filters.side,
            "stride": filters.stride,
            "zeros": filters.padding,
            "slope": slope,
            "silu": int(silu),
            "last": int(residual_last),
        },
    )[0]


def interleave_channels(first: jt.Var, second: jt.Var, half: int, start: int, count: int) -> jt.Var:
    """Channels `start` to `start + count` of two maps whose channels are interleaved.

    Channel 2 i of the interleaved map is channel i of `first`, and 2 i + 1 is channel i of
    `second`. Both maps have `half` channels.
    """
    images, _, rows, columns, _ = first.shape
    return run(
        'unidet_interleave(in0_p, in1_p, out0_p, data["images"], data["half"], data["cells"], '
        'data["start"], data["count"]);',
        [(images, -(-count // LANES), rows, columns, LANES)],
        [first, second],
        {"images": images, "half": half, "cells": rows * columns, "start": start, "count": count},
    )[0]


def resize_bilinear(feats: jt.Var, size: tuple[int, int]) -> jt.Var:
    """Bilinear resize to (height, width), with align_corners false."""
    numbers = ("images", "blocks", "rows", "columns")
    values = dict(zip(numbers, feats.shape[:4], strict=True))
    values |= {"rows_out": size[0], "columns_out": size[1]}
    pointers = ", ".join(f'data["{name}"]' for name in values)
    source = f"unidet_stretch(in0_p, out0_p, {pointers});"
    return run(source, [(*feats.shape[:2], *size, LANES)], [feats], values)[0]
