"""Pools and the nearest-cell resize of blocked maps (see blocked_maps.py)."""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.ops.blocked_maps import is_blocked
from unidet.ops.onednn import run

_SIDES = ("images", "blocks", "rows", "columns")


class _Resized(jt.Function):
    """A function of one map to one of other sides; `kernel` and its gradient take both shapes."""

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
    """Of 3 x 3 cells at stride 2, half the sides, rounded up."""
    rows, columns = feats.shape[2:4]
    return _Resized("unidet_max_pool", ((rows + 1) // 2, (columns + 1) // 2), keeps=True)(feats)


def mean_pool(feats: jt.Var, stride: int) -> jt.Var:
    """Mean over stride x stride cells; a remainder at the right or bottom is dropped."""
    rows, columns = feats.shape[2:4]
    size = rows // stride, columns // stride
    return _Resized("unidet_mean_pool", size, {"side": stride})(feats)


def spread(feats: jt.Var, size: tuple[int, int]) -> jt.Var:
    """A map of either kind at another size, of every cell the nearest one."""
    if not is_blocked(feats):
        return nn.interpolate(feats, size=size, mode="nearest")
    return _Resized("unidet_spread", size)(feats)
