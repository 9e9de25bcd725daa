"""Pooling and nearest-neighbour resizing of blocked maps (see blocked_maps.py)."""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.ops.blocked_maps import is_blocked
from unidet.ops.onednn import run

_SIDES = ("images", "blocks", "rows", "columns")


class _Resized(jt.Function):
    """An operation that maps (N, C / LANES, H, W, LANES) to another height and width.

    Args:
        kernel: name of the C++ function; `{kernel}_backward` is its gradient.
        size: height and width of the result.
        values: further numbers for both functions.
        keeps: whether the gradient also takes the input and the result.
    """

    def __init__(
        self,
        kernel: str,
        size: tuple[int, int],
        values: dict[str, int] | None = None,
        *,
        keeps: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.size, self.values, self.keeps = kernel, size, values or {}, keeps

    def execute(self, feats: jt.Var) -> jt.Var:
        images, blocks, _, _, lanes = self.shape = feats.shape
        shape = (images, blocks, *self.size, lanes)
        (result,) = self._call(self.kernel, shape, [feats])
        self.saved = [feats, result] if self.keeps else []
        return result

    def grad(self, grad: jt.Var) -> jt.Var:
        return self._call(f"{self.kernel}_backward", self.shape, [*self.saved, grad])[0]

    def _call(self, name: str, shape: tuple[int, ...], inputs: list[jt.Var]) -> list[jt.Var]:
        values = dict(zip(_SIDES, self.shape, strict=False))
        values |= dict(zip(("rows_out", "columns_out"), self.size, strict=True)) | self.values
        pointers = ", ".join(f"in{row}_p" for row in range(len(inputs)))
        numbers = ", ".join(f'data["{name}"]' for name in values)
        return run(f"{name}({pointers}, out0_p, {numbers});", [shape], inputs, values)


def max_pool(feats: jt.Var) -> jt.Var:
    """Max pooling of 3 x 3 cells with stride 2 and padding 1: half the sides, rounded up."""
    rows, columns = feats.shape[2:4]
    return _Resized("unidet_max_pool", ((rows + 1) // 2, (columns + 1) // 2), keeps=True)(feats)


def mean_pool(feats: jt.Var, stride: int) -> jt.Var:
    """Mean of stride x stride cells; a remainder at the right or bottom is dropped."""
    rows, columns = feats.shape[2:4]
    size = rows // stride, columns // stride
    return _Resized("unidet_mean_pool", size, {"side": stride})(feats)


def resize_nearest(feats: jt.Var, size: tuple[int, int]) -> jt.Var:
    """Nearest-neighbour resize of a plain or blocked map to (height, width)."""
    if not is_blocked(feats):
        return nn.interpolate(feats, size=size, mode="nearest")
    return _Resized("unidet_spread", size)(feats)
