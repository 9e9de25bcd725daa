"""Feature maps in oneDNN's blocked layout, for CPUs with AVX-512.

Jittor's convolution converts (N, C, H, W) to the blocked layout and back in every call, which takes
a third of a forward pass. Here maps stay in the blocked layout between convolutions. A blocked map
has the shape (N, C / LANES, H, W, LANES); a plain map has (N, C, H, W), so the number of dimensions
tells them apart. Functions take blocked maps unless they say otherwise. N: images, C: channels,
H, W: cells, O: filters of K x K cells.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.ops import onednn
from unidet.ops.onednn import require_shape, run

LANES = 16
_MIN_CHANNELS, _MIN_CELLS = 64, 3000  # below these, Winograd gains little or is slower


def can_block(channels: int) -> bool:
    """Whether maps with this number of channels can be blocked on the device in use."""
    return channels % LANES == 0 and not jt.flags.use_cuda and onednn.has_avx512()


def is_blocked(feats: jt.Var) -> bool:
    return len(feats.shape) == 5


def channel_count(feats: jt.Var) -> int:
    """Number of channels of a map; of a blocked map with the padding of its last block."""
    return feats.shape[1] * (LANES if is_blocked(feats) else 1)


def channel_dims(feats: jt.Var) -> tuple[int, ...]:
    """The dimensions that hold the channels of a plain or blocked map."""
    return (1, 4) if is_blocked(feats) else (1,)


class _Arrange(jt.Function):
    """Conversion to the blocked layout or from it; the gradient is converted back."""

    def __init__(self, into: bool) -> None:
        super().__init__()
        self.into = into

    def execute(self, feats: jt.Var) -> jt.Var:
        return _rearrange(feats, self.into)

    def grad(self, grad: jt.Var) -> jt.Var:
        return _rearrange(grad, not self.into)


def _rearrange(feats: jt.Var, into: bool) -> jt.Var:
    if into:
        count, channels, height, width = feats.shape
        shape: tuple[int, ...] = (count, channels // LANES, height, width, LANES)
    else:
        count, blocks, height, width, _ = feats.shape
        channels = blocks * LANES
        shape = (count, channels, height, width)
    return run("arrange", [shape], [feats], (count, channels, height, width, into))[0]


def to_blocked(feats_NCHW: jt.Var) -> jt.Var:
    """Convert a plain map to the blocked layout. ValueError where C is no multiple of LANES."""
    if feats_NCHW.shape[1] % LANES:
        raise ValueError(f"{feats_NCHW.shape[1]} channels do not fill blocks of {LANES}")
    return _Arrange(True)(feats_NCHW.float32())


def to_plain(feats: jt.Var) -> jt.Var:
    """Convert a map to (N, C, H, W); a plain map is returned as it is."""
    return _Arrange(False)(feats) if is_blocked(feats) else feats


def in_layout_of(feats: jt.Var, other: jt.Var) -> jt.Var:
    """Convert a map to the layout of another one."""
    if is_blocked(feats) == is_blocked(other):
        return feats
    return to_blocked(feats) if is_blocked(other) else to_plain(feats)


def as_array(feats: jt.Var, channels: int | None = None) -> np.ndarray:
    """Numpy array (N, C, H, W) of a plain or blocked map; other tensors keep their shape.

    `channels`: C, where the map has padding in its last block.
    """
    values = to_plain(feats).numpy()
    return values if channels is None else values[:, :channels]


def uses_winograd(x: jt.Var, weight_OCKK: jt.Var, stride: int, padding: int) -> bool:
    """Whether a convolution in training uses Winograd's algorithm.

    It is twice as fast. Its results differ by some 1e-6 of the largest value.
    """
    filters, channels, side = weight_OCKK.shape[:3]
    fits = is_blocked(x) and (side, stride, padding) == (3, 1, 1)
    whole = filters % LANES == 0 and channels % LANES == 0
    cells = x.shape[0] * x.shape[2] * x.shape[3]
    many = min(filters, channels) >= _MIN_CHANNELS and cells >= _MIN_CELLS
    return fits and whole and many


class _Convolve(jt.Function):
    """oneDNN's convolution with scale, bias, residual and activation.

    It keeps only its inputs and its output for the backward pass.
    """

    def __init__(self, stride: int, padding: int, slope: float) -> None:
        super().__init__()
        self.stride, self.padding, self.slope = stride, padding, slope

    def execute(
        self,
        x: jt.Var,
        weight: jt.Var,
        bias: jt.Var,
        scale: jt.Var | None,
        residual: jt.Var | None,
    ) -> jt.Var:
        self.x, self.weight, self.scale, self.needs_x_grad = x, weight, scale, not x.is_stop_grad()
        self.has_residual = residual is not None
        winograd = uses_winograd(x, weight, self.stride, self.padding)
        self.kernel = "transform" if winograd else "convolve"
        images, rows, columns = x.shape[0], x.shape[2], x.shape[3]
        filters, channels, side = weight.shape[:3]
        out = [(size + 2 * self.padding - side) // self.stride + 1 for size in (rows, columns)]
        sides = (images, channels, rows, columns, filters, *out, side)
        self.numbers = (*sides, self.stride, self.padding)
        supported = residual is None and self.slope in (0.0, 1.0)
        shape = (images, -(-filters // LANES), *out, LANES)
        require_shape("a residual", residual, shape)
        (y,) = run(
            self.kernel if supported else "convolve",
            [shape],
            [x, weight, scale, bias, residual],
            (*self.numbers, self.slope, not is_blocked(x)),
        )
        self.activated = [y] if self.slope != 1 else []
        return y

    def grad(self, grad: jt.Var) -> tuple[jt.Var | None, ...]:
        for y in self.activated:
            grad = grad * jt.ternary(y > 0, jt.float32(1.0), jt.float32(self.slope))
        weight, x_grad, scale_grad = self.weight, None, None
        if self.scale is not None:
            scale = self.scale.broadcast(weight, [1, 2, 3])
            weight = weight * scale
        if self.needs_x_grad:
            backward = f"{self.kernel}_backward_data"
            numbers = (*self.numbers, not is_blocked(self.x))
            (x_grad,) = run(backward, [self.x.shape], [grad, weight], numbers)
        weight_grad, bias_grad = run(
            f"{self.kernel}_backward_weights",
            [self.weight.shape, (self.weight.shape[0],)],
            [self.x, grad],
            (*self.numbers, not is_blocked(self.x)),
        )
        if self.scale is not None:
            scale_grad = (weight_grad * self.weight).sum([1, 2, 3])
            weight_grad = weight_grad * scale
        return x_grad, weight_grad, bias_grad, scale_grad, grad if self.has_residual else None


def convolve(
    feats: jt.Var,
    weight_OCKK: jt.Var,
    bias_O: jt.Var,
    *,
    scale_O: jt.Var | None = None,
    stride: int = 1,
    padding: int = 0,
    slope: float = 1.0,
    residual: jt.Var | None = None,
) -> jt.Var:
    """max(y, slope * y) with y = scale * (feats conv weight) + bias + residual.

    The scale is applied to the sums: filters multiplied by it would be rounded once more. `feats`
    may also be a plain image. Padding channels of the result are 0. ValueError where a shape does
    not fit the others.
    """
    filters, channels, side = weight_OCKK.shape[:3]
    if channel_count(feats) != channels:
        raise ValueError(f"maps {tuple(feats.shape)} do not fit filters {weight_OCKK.shape}")
    require_shape("filters", weight_OCKK, (filters, channels, side, side))
    require_shape("a bias", bias_O, (filters,))
    require_shape("a scale", scale_O, (filters,))
    return _Convolve(stride, padding, slope)(feats, weight_OCKK, bias_O, scale_O, residual)
