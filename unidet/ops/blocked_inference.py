"""Layers of blocked maps that have no gradient: their batch norms, on running statistics, are part
of the kernel, and channels need not fill the lanes.

N images, C channels, H, W cells, O filters of K x K cells; see blocked_maps.py.
"""

from __future__ import annotations

import jittor as jt

from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import LANES, NUMBERS, is_blocked
from unidet.ops.onednn import run

_NAMES = (*(f"n{row}" for row in range(10)), "eps", "slope")


def convolve_normalize(
    feats: jt.Var,
    weight_OCKK: jt.Var,
    norm: BatchNorm2d,
    *,
    stride: int = 1,
    padding: int = 0,
    residual: jt.Var | None = None,
) -> jt.Var:
    """norm(feats * weight) + residual, with a residual the slope after the sum.

    `feats` may be a plain image. ValueError where the channels differ.
    """
    filters, channels, side = weight_OCKK.shape[:3]
    _check(feats, weight_OCKK, channels)
    size = [_cells(cells, side, stride, 2 * padding) for cells in feats.shape[2:4]]
    values = _values(feats, channels, filters, size, side, stride, padding, norm)
    inputs = [feats, weight_OCKK, *_statistics(norm)]
    inputs += [] if residual is None else [residual]
    added = "nullptr" if residual is None else "in6_p"
    return run(
        f"{NUMBERS}unidet_convolve_normalize(in0_p, in1_p, in2_p, in3_p, in4_p, in5_p, {added}, "
        'out0_p, numbers, data["eps"], data["slope"], data["plain"]);',
        [(feats.shape[0], -(-filters // LANES), *size, LANES)],
        inputs,
        {**values, "plain": int(not is_blocked(feats))},
    )[0]


def depthwise_normalize(
    feats: jt.Var, weight_C1KK: jt.Var, norm: BatchNorm2d, stride: int, before: int, after: int
) -> jt.Var:
    """norm(feats * weight), a filter for each channel; `before` and `after`: zeros around the map.

    ValueError where the channels differ.
    """
    channels, _, side = weight_C1KK.shape[:3]
    _check(feats, weight_C1KK, channels)
    size = [_cells(cells, side, stride, before + after) for cells in feats.shape[2:4]]
    return run(
        f"{NUMBERS}unidet_depthwise_normalize(in0_p, in1_p, in2_p, in3_p, in4_p, in5_p, out0_p, "
        'numbers, data["eps"], data["slope"]);',
        [(*feats.shape[:2], *size, LANES)],
        [feats, weight_C1KK, *_statistics(norm)],
        _values(feats, channels, channels, size, side, stride, before, norm),
    )[0]


def _statistics(norm: BatchNorm2d) -> tuple[jt.Var, ...]:
    return norm.weight, norm.bias, norm.running_mean, norm.running_var


def _check(feats: jt.Var, weight: jt.Var, channels: int) -> None:
    held = -(-channels // LANES) if is_blocked(feats) else channels
    if feats.shape[1] != held:
        raise ValueError(f"maps {tuple(feats.shape)} do not fit filters {tuple(weight.shape)}")


def _cells(cells: int, side: int, stride: int, zeros: int) -> int:
    return (cells + zeros - side) // stride + 1


def _values(
    feats: jt.Var,
    channels: int,
    filters: int,
    size: list[int],
    side: int,
    stride: int,
    before: int,
    norm: BatchNorm2d,
) -> dict[str, float]:
    count, _, rows, columns = feats.shape[:4]
    numbers = (count, channels, rows, columns, filters, *size, side, stride, before)
    return dict(zip(_NAMES, (*numbers, norm.eps, norm.slope), strict=True))


def interleaved(first: jt.Var, second: jt.Var, half: int, start: int, count: int) -> jt.Var:
    """Channels `start` to `start + count` of two maps of `half` channels taken in turn."""
    images, _, rows, columns, _ = first.shape
    return run(
        'unidet_interleave(in0_p, in1_p, out0_p, data["images"], data["half"], data["cells"], '
        'data["start"], data["count"]);',
        [(images, -(-count // LANES), rows, columns, LANES)],
        [first, second],
        {"images": images, "half": half, "cells": rows * columns, "start": start, "count": count},
    )[0]


def stretched(feats: jt.Var, size: tuple[int, int]) -> jt.Var:
    """A map at another size, bilinear, as interpolation without aligned corners."""
    numbers = ("images", "blocks", "rows", "columns")
    values = dict(zip(numbers, feats.shape[:4], strict=True))
    values |= {"rows_out": size[0], "columns_out": size[1]}
    pointers = ", ".join(f'data["{name}"]' for name in values)
    source = f"unidet_stretch(in0_p, out0_p, {pointers});"
    return run(source, [(*feats.shape[:2], *size, LANES)], [feats], values)[0]
