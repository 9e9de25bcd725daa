"""A kernel reads addresses alone: shapes that do not fit are refused before it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jittor as jt
import numpy as np
import pytest

from unidet.ops import blocked_inference as inference
from unidet.ops import blocked_pools
from unidet.ops.attention import batched_matmul, fused_attention
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import LANES, can_block, convolve, to_blocked
from unidet.ops.deformable_attention import deformable_attention
from unidet.ops.nms import nms
from unidet.ops.onednn import run

PLAIN = (1, LANES, 3, 3)
BLOCKED = (1, 1, 3, 3, LANES)
needs_avx512 = pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")


def _zeros(*shapes: tuple[int, ...]) -> list[jt.Var]:
    return [jt.zeros(shape) for shape in shapes]


def _pack(weight: tuple[int, ...], scale: int, shift: int, **image: bool) -> Any:
    return inference.pack_filters(*_zeros(weight, (scale,), (shift,)), stride=1, padding=0, **image)


def _pack_depthwise(weight: tuple[int, ...], scale: int, shift: int) -> Any:
    factors = _zeros((scale,), (shift,))
    return inference.pack_depthwise_filters(jt.zeros(weight), *factors, stride=1, before=1, after=1)


def _attend(keys: int, values: int, mask: tuple[int, ...] | None, heads: int = 2) -> jt.Var:
    sides = (2, 3, 4), (2, keys, 4), (2, values, 4)
    return fused_attention(*_zeros(*sides), heads, None if mask is None else jt.zeros(mask))


CALLS: dict[str, Callable[[], Any]] = {
    "a bias of other filters": lambda: convolve(*_zeros(BLOCKED, (32, 16, 1, 1), (16,))),
    "a scale of other filters": lambda: convolve(
        *_zeros(BLOCKED, (32, 16, 1, 1), (32,)), scale_O=jt.zeros(16)
    ),
    "filters that are no squares": lambda: convolve(*_zeros(BLOCKED, (16, 16, 3, 1), (16,))),
    "blocks of a blocked map": lambda: to_blocked(jt.zeros((1, LANES, 3, 3, LANES))),
    "a plain map to average": lambda: blocked_pools.mean_pool(jt.zeros(PLAIN), 2),
    "packed filters that are no squares": lambda: _pack((16, 16, 1, 3), 16, 16),
    "a packed scale of other filters": lambda: _pack((16, 16, 1, 1), 5, 16),
    "a packed shift of other filters": lambda: _pack((16, 16, 1, 1), 16, 15),
    "an image of many channels": lambda: _pack((16, 17, 1, 1), 16, 16, image=True),
    "an image of one channel more": lambda: inference.convolve(
        jt.zeros((1, 4, 3, 3)), _pack((16, 3, 1, 1), 16, 16, image=True)
    ),
    "depthwise filters of two channels": lambda: _pack_depthwise((16, 2, 3, 3), 16, 16),
    "a depthwise scale of other filters": lambda: _pack_depthwise((16, 1, 3, 3), 15, 16),
    "halves of different sizes": lambda: inference.interleave_channels(
        *_zeros(BLOCKED, (1, 1, 3, 2, LANES)), 16, 0, 16
    ),
    "halves of fewer channels": lambda: inference.interleave_channels(
        *_zeros(BLOCKED, BLOCKED), 17, 0, 16
    ),
    "more channels than both halves": lambda: inference.interleave_channels(
        *_zeros(BLOCKED, BLOCKED), 16, 16, 17
    ),
    "a plain map to stretch": lambda: inference.resize_bilinear(jt.zeros(PLAIN), (4, 4)),
    "more channels than a map's": lambda: inference.flatten_cells(jt.zeros(BLOCKED), 17),
    "matrices of another batch": lambda: batched_matmul(
        *_zeros((2, 3, 4), (3, 4, 5)), by_onednn=True
    ),
    "matrices that do not fit": lambda: batched_matmul(
        *_zeros((2, 3, 4), (2, 5, 6)), by_onednn=True
    ),
    "keys without values": lambda: _attend(5, 4, None),
    "a mask of one head": lambda: _attend(5, 5, (2, 1, 5)),
    "a mask of other keys": lambda: _attend(5, 5, (4, 1, 4)),
    "a width of no whole heads": lambda: _attend(5, 5, None, heads=3),
    "whole numbers": lambda: run("norm_factors", [(4,)] * 2, [jt.int32([1])] * 4, (1, 0)),
}


@needs_avx512
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        call()


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 2, 4, 4, LANES), (2, 2)])
def test_a_batch_norm_of_other_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="batch norm of 2 channels"):
        BatchNorm2d(2)(jt.zeros(shape))


def test_boxes_with_their_scores() -> None:
    with pytest.raises(ValueError, match=r"boxes \(N,4\)"):
        nms(np.zeros((3, 5), np.float32), np.zeros(3, np.float32), 0.5)


@pytest.mark.parametrize(
    ("values", "locations"),
    [
        ((1, 12, 2, 4), (2, 5, 2, 1, 3, 2)),
        ((2, 12, 1, 4), (2, 5, 2, 1, 3, 2)),
        ((2, 12, 2, 4), (2, 5, 2, 3, 1, 2)),
    ],
    ids=["values of other images", "values of other heads", "locations of other levels"],
)
def test_samples_of_other_maps(values: tuple[int, ...], locations: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"fit|locations"):
        deformable_attention(*_zeros(values, locations, (2, 5, 2, 1, 3)), [(3, 4)])
