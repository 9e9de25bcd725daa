"""Pooling and nearest-neighbour resizing of blocked maps (see blocked_maps.py)."""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.ops.blocked_maps import is_blocked
from unidet.ops.onednn import run

_LEAST, _LOWEST = 4, -3e38
"""Least side of a map that Jittor pools, and what never is a maximum."""


class _Resized(jt.Function):
    """An operation that maps (N, C / LANES, H, W, LANES) to another height and width.

    Args:
        kernel: name of the C++ function; `{kernel}_backward` is its gradient.
        size: height and width of the result.
        numbers: further ones for both functions.
        keeps: whether the gradient also takes the input and the result.
    """

    def __init__(
        self,
        kernel: str,
        size: tuple[int, int],
        *numbers: int,
        keeps: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.size, self.numbers, self.keeps = kernel, size, numbers, keeps

    def execute(self, feats: jt.Var) -> jt.Var:
        images, blocks, _, _, lanes = self.shape = feats.shape
        shape = (images, blocks, *self.size, lanes)
        (result,) = self._call(self.kernel, shape, [feats])
        self.saved = [feats, result] if self.keeps else []
        return result

    def grad(self, grad: jt.Var) -> jt.Var:
        return self._call(f"{self.kernel}_backward", self.shape, [*self.saved, grad])[0]

    def _call(self, name: str, shape: tuple[int, ...], inputs: list[jt.Var]) -> list[jt.Var]:
        return run(name, [shape], inputs, [*self.shape[:4], *self.size, *self.numbers])


def max_pool(feats: jt.Var) -> jt.Var:
    """Max pooling of 3 x 3 cells with stride 2 and padding 1, of a plain or blocked map: half the
    sides, rounded up."""
    rows, columns = feats.shape[2:4]
    size = (rows + 1) // 2, (columns + 1) // 2
    if is_blocked(feats):
        return _Resized("max_pool", size, keeps=True)(feats)
    if min(rows, columns) >= _LEAST:
        return nn.max_pool2d(feats, 3, 2, 1)
    missing = [max(_LEAST - side, 0) for side in (columns, rows)]
    padded = nn.pad(feats, (0, missing[0], 0, missing[1]), value=_LOWEST)
    return nn.max_pool2d(padded, 3, 2, 1)[:, :, : size[0], : size[1]]


def mean_pool(feats: jt.Var, stride: int) -> jt.Var:
    """Mean of stride x stride cells; a remainder at the right or bottom is dropped."""
    rows, columns = feats.shape[2:4]
    size = rows // stride, columns // stride
    return _Resized("mean_pool", size, stride)(feats)


def resize_nearest(feats: jt.Var, size: tuple[int, int]) -> jt.Var:
    """Nearest-neighbour resize of a plain or blocked map to (height, width)."""
    if not is_blocked(feats):
        return nn.interpolate(feats, size=size, mode="nearest")
    return _Resized("spread", size)(feats)
