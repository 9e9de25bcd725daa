"""Mixed precision: convolutions and matrix products of a training step take 16-bit numbers.

As PyTorch's autocast has it: sums are in float32, results are rounded to 16 bits, and so are the
gradients of both. All else stays float32: weights and their updates, norms, depthwise convolutions,
RoIAlign, boxes, cosines with names, losses. A GPU gets tensors of the 16-bit type for its tensor
cores. A CPU rounds the numbers and computes in float32, which is the same up to the order of sums,
and gains no time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import jittor as jt
from jittor import nn

from unidet.config.training import Precision
from unidet.ops import onednn

_HEADER = "#include <cmath>\n#include <cstring>\n"
_LOOP = r"""
#pragma omp parallel for
for (long long i = 0; i < (long long)in0->num; i++) {
    unsigned bits;
    std::memcpy(&bits, in0_p + i, 4);
    const unsigned sign = bits & 0x80000000u;
    unsigned size = bits ^ sign;
    const bool finite = size < 0x7f800000u;
    ROUND
    bits = sign | size;
    std::memcpy(out0_p + i, &bits, 4);
}
"""
_ROUNDINGS = {
    "bfloat16": "if (finite) size = (size + 0x7fff + (size >> 16 & 1)) & 0xffff0000u;",
    # From 65520 on there is only infinity; below 2^-14 steps are of 2^-24.
    "float16": r"""
    if (finite && size >= 0x477ff000u) size = 0x7f800000u;
    else if (finite && size >= 0x38800000u)
        size = (size + 0xfff + (size >> 13 & 1)) & 0xffffe000u;
    else if (finite) {
        float value;
        std::memcpy(&value, &size, 4);
        value = std::nearbyint(value * 16777216.f) * (1 / 16777216.f);
        std::memcpy(&size, &value, 4);
    }""",
}


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Inside the context Jittor's convolutions and matrix products take numbers of `precision`.
    Gradients must be computed inside too. Feature maps are not in oneDNN's blocked layout
    meanwhile.
    """
    if precision == "float32":
        yield
        return
    lower, raise_ = (partial(cast, precision) for cast in (lowered, raised))
    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (nn, "conv2d", _convolution(nn.conv2d, lower, raise_)),
        (jt, "matmul", _product(jt.matmul, lower, raise_)),
        (nn, "linear", _linear(lower, raise_)),
        (nn.Conv, "execute", _convolution_layer),
        (nn.Linear, "execute", lambda layer, x: nn.linear(x, layer.weight, layer.bias)),
        (onednn, "has_avx512", lambda: False),
    ]
    with ExitStack() as restored:
        for place, name, value in replaced:
            restored.callback(setattr, place, name, getattr(place, name))
            setattr(place, name, value)
        yield


def lowered(precision: Precision, value: jt.Var) -> jt.Var:
    """What a convolution is given; the gradient that comes back is float32 again."""
    if jt.flags.use_cuda:
        return value.cast(precision)
    return _Round(precision)(value)


def raised(precision: Precision, value: jt.Var) -> jt.Var:
    """What a convolution has given, as float32; the gradient goes back in 16 bits."""
    return value.float32() if jt.flags.use_cuda else _Round(precision)(value)


class _Round(jt.Function):
    """Rounds numbers and gradients to the nearest value of a 16-bit type, ties to even."""

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self.source = _LOOP.replace("ROUND", _ROUNDINGS[precision])

    def execute(self, value: jt.Var) -> jt.Var:
        kernel = {"cpu_header": _HEADER, "cpu_src": self.source}
        return jt.code(value.shape, "float32", [value.float32()], **kernel)

    def grad(self, grad: jt.Var) -> jt.Var:
        return self.execute(grad)


Cast = Callable[[jt.Var], jt.Var]


def _convolution(original: Callable[..., jt.Var], lower: Cast, raise_: Cast) -> Callable[..., Any]:
    def convolve(x: jt.Var, weight: jt.Var, bias: jt.Var | None = None, *numbers: Any) -> jt.Var:
        y = raise_(original(lower(x), lower(weight), None, *numbers))
        return y if bias is None else y + bias.broadcast(y, [0, 2, 3])

    return convolve


def _convolution_layer(layer: nn.Conv, x: jt.Var) -> jt.Var:
    numbers = layer.stride, layer.padding, layer.dilation, layer.groups
    return nn.conv2d(x, layer.weight, layer.bias, *numbers)


def _product(original: Callable[..., jt.Var], lower: Cast, raise_: Cast) -> Callable[..., Any]:
    return lambda left, right: raise_(original(lower(left), lower(right)))


def _linear(lower: Cast, raise_: Cast) -> Callable[..., Any]:
    def linear(x: jt.Var, weight: jt.Var, bias: jt.Var | None = None) -> jt.Var:
        y = raise_(nn.matmul_transpose(lower(x), lower(weight)))
        return y if bias is None else y + bias

    return linear
