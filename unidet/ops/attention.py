"""Batched matrix products and attention.

B: batch of matrices (images x heads), T: tokens, E: width of a head.
"""

from __future__ import annotations

from collections.abc import Callable

import jittor as jt
from jittor import nn


class _BatchedMatmul(jt.Function):
    """(B, M, K) @ (B, K, N); gradients are again products of this form.

    Jittor derives gradients of a batched product whose loops run against the memory order on a
    CPU: 20 to 100 times slower than the product itself.
    """

    def execute(self, left: jt.Var, right: jt.Var) -> jt.Var:
        self.saved = left, right
        return jt.matmul(left, right)

    def grad(self, grad: jt.Var) -> tuple[jt.Var, jt.Var]:
        left, right = self.saved
        return (
            jt.matmul(grad, right.transpose(0, 2, 1)),
            jt.matmul(left.transpose(0, 2, 1), grad),
        )


def batched_matmul(left_BMK: jt.Var, right_BKN: jt.Var) -> jt.Var:
    """B products of (M, K) and (K, N) matrices, with a gradient as fast as the product."""
    return _BatchedMatmul.apply(left_BMK, right_BKN)


def attention(
    queries_BTE: jt.Var,
    keys_BSE: jt.Var,
    values_BSE: jt.Var,
    mask: jt.Var | None = None,
    dropout: Callable[[jt.Var], jt.Var] | None = None,
) -> jt.Var:
    """softmax(q k^T / sqrt(E) + mask) v: (B, T, E). The mask broadcasts to (B, T, S) and is added,
    so forbid with a large negative number (an infinite one becomes NaN in kernels built with
    -Ofast). `dropout` acts on the weights."""
    scale = queries_BTE.shape[-1] ** -0.5
    logits = batched_matmul(queries_BTE * scale, keys_BSE.transpose(0, 2, 1))
    if mask is not None:
        logits = logits + mask.broadcast(logits)
    weights = nn.softmax(logits, dim=-1)
    return batched_matmul(dropout(weights) if dropout else weights, values_BSE)


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
