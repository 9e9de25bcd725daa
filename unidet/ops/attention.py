"""Batched matrix products and attention.

B: batch of matrices (images x heads), T: query tokens, S: key tokens, E: width of a head,
N: images, W: width of all heads.
"""

from __future__ import annotations

from collections.abc import Callable

import jittor as jt
from jittor import nn

from unidet.ops import onednn


class _BatchedMatmul(jt.Function):
    """(B, M, K) @ (B, K, N), whose two gradients are also batched products.

    Jittor's own gradients of a batched product loop against the memory order, which makes them 20
    to 100 times slower than the product on a CPU.
    """

    def __init__(self, by_onednn: bool) -> None:
        super().__init__()
        self.product = _by_onednn if by_onednn else _by_loops

    def execute(self, left: jt.Var, right: jt.Var) -> jt.Var:
        self.saved = left, right
        return self.product(left, right)

    def grad(self, grad: jt.Var) -> tuple[jt.Var, jt.Var]:
        left, right = self.saved
        return self.product(grad, right, "right"), self.product(left, grad, "left")


def _by_loops(left: jt.Var, right: jt.Var, transposed: str = "") -> jt.Var:
    """left @ right; `transposed` names the operand that is transposed first, if any."""
    left = left.transpose(0, 2, 1) if transposed == "left" else left
    return jt.matmul(left, right.transpose(0, 2, 1) if transposed == "right" else right)


def _by_onednn(left: jt.Var, right: jt.Var, transposed: str = "") -> jt.Var:
    batch, rows, columns = left.shape
    if transposed == "left":
        rows, columns = columns, rows
    width = right.shape[1 if transposed == "right" else 2]
    numbers = (batch, rows, columns, width, transposed == "left", transposed == "right")
    return onednn.run("multiply", [(batch, rows, width)], [left, right], numbers)[0]


def batched_matmul(left_BMK: jt.Var, right_BKN: jt.Var, *, by_onednn: bool = False) -> jt.Var:
    """Products of B pairs of matrices: (B, M, K), (B, K, N) -> (B, M, N).

    The gradients take about as long as the product. With `by_onednn` oneDNN computes the products
    four times as fast as Jittor's loops, but sums in a different order. It needs a CPU with oneDNN,
    as blocked maps do (ops/blocked_maps.py). ValueError where the shapes do not fit.
    """
    batch, _, inner = left_BMK.shape
    onednn.require_shape("the right matrices", right_BKN, (batch, inner, right_BKN.shape[2]))
    return _BatchedMatmul(by_onednn)(left_BMK, right_BKN)


def attention(
    queries_BTE: jt.Var,
    keys_BSE: jt.Var,
    values_BSE: jt.Var,
    mask: jt.Var | None = None,
    dropout: Callable[[jt.Var], jt.Var] | None = None,
) -> jt.Var:
    """Scaled dot-product attention, softmax(q k^T / sqrt(E) + mask) v: (B, T, E).

    The mask is additive and broadcasts to (B, T, S). Mask a key with a large negative number:
    kernels are built with -Ofast, which turns an infinite one into NaN. `dropout` is applied to the
    attention weights.
    """
    scale = queries_BTE.shape[-1] ** -0.5
    logits = batched_matmul(queries_BTE * scale, keys_BSE.transpose(0, 2, 1))
    if mask is not None:
        logits = logits + mask.broadcast(logits)
    weights = nn.softmax(logits, dim=-1)
    return batched_matmul(dropout(weights) if dropout else weights, values_BSE)


def can_fuse_attention(mask: jt.Var | None) -> bool:
    """Whether `fused_attention` can replace `attention`.

    It needs a CPU with oneDNN and AVX-512, gradients switched off, and a mask, if any, that is the
    same for all queries (shape (B, 1, S)).
    """
    by_keys = mask is None or (len(mask.shape) == 3 and mask.shape[1] == 1)
    return by_keys and jt.flags.no_grad and not jt.flags.use_cuda and onednn.has_avx512()


def fused_attention(
    queries_NTW: jt.Var, keys_NSW: jt.Var, values_NSW: jt.Var, heads: int, mask_B1S: jt.Var | None
) -> jt.Var:
    """`attention` of all heads in one fused kernel without gradients: (N, T, W).

    Heads stay side by side in W, and attention weights stay in the CPU's cache. Sums are in a
    different order than in `attention`. ValueError where the shapes do not fit.
    """
    images, queries, width = queries_NTW.shape
    keys = keys_NSW.shape[1]
    if width % heads:
        raise ValueError(f"a width of {width} does not divide into {heads} heads")
    onednn.require_shape("the keys", keys_NSW, (images, keys, width))
    onednn.require_shape("the values", values_NSW, keys_NSW.shape)
    onednn.require_shape("the mask", mask_B1S, (images * heads, 1, keys))
    inputs = [queries_NTW, keys_NSW, values_NSW, mask_B1S]
    numbers = (images, heads, queries, keys, width)
    return onednn.run("attend", [(images, queries, width)], inputs, numbers)[0]


def split_heads(tokens_NTW: jt.Var, heads: int) -> jt.Var:
    """(N, T, W) -> (N * heads, T, W / heads)."""
    images, tokens, width = tokens_NTW.shape
    split = tokens_NTW.reshape(images, tokens, heads, width // heads)
    return split.transpose(0, 2, 1, 3).reshape(images * heads, tokens, width // heads)


def merge_heads(tokens_BTE: jt.Var, heads: int) -> jt.Var:
    """The inverse of `split_heads`."""
    batch, tokens, width = tokens_BTE.shape
    split = tokens_BTE.reshape(batch // heads, heads, tokens, width)
    return split.transpose(0, 2, 1, 3).reshape(batch // heads, tokens, heads * width)
