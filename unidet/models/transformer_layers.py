"""Shared parts of the transformers: layer norm, multi-head attention, MLP, an encoder layer.

N: images or texts, T, S: tokens, W: width. Parameter names are torch's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import jittor as jt
from jittor import nn

from unidet.ops.activation import relu
from unidet.ops.attention import (
    attention,
    can_fuse_attention,
    fused_attention,
    merge_heads,
    split_heads,
)

FORBIDDEN = -1e9
"""Added to the attention logits of masked tokens."""
Activation = Callable[[jt.Var], jt.Var]


class LayerNorm(nn.LayerNorm):
    """Layer norm whose variance is the mean of squared differences from the mean.

    Jittor's own takes E[x²] - E[x]², which loses digits where the mean is large.
    """

    def execute(self, x: jt.Var) -> jt.Var:
        centred = x - x.mean(dim=-1, keepdims=True)
        variance = (centred * centred).mean(dim=-1, keepdims=True)
        return centred / jt.sqrt(variance + self.eps) * self.weight + self.bias


class Dropout(nn.Module):
    """Sets values to zero with `probability` and scales the others, while `is_train` is true."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.is_train = False

    def execute(self, x: jt.Var) -> jt.Var:
        if not (self.is_train and self.probability):
            return x
        kept = jt.random(x.shape) >= self.probability
        return x * kept.float32() / (1 - self.probability)


def set_dropout_training(module: nn.Module, training: bool) -> None:
    """Enable (True) or disable (False) all dropout below `module`."""
    for child in module.modules():
        if isinstance(child, Dropout):
            child.is_train = training


class MultiHeadAttention(nn.Module):
    """Attention with torch's parameter names; `in_proj_weight` stacks q, k and v.

    Args:
        any_order: in inference, sums may be in a different order than in training.
    """

    def __init__(
        self, width: int, heads: int, dropout: float = 0.0, *, any_order: bool = False
    ) -> None:
        super().__init__()
        self._heads = heads
        self._any_order = any_order
        self.in_proj_weight = jt.init.gauss((3 * width, width), std=width**-0.5)
        self.in_proj_bias = jt.zeros(3 * width)
        self.out_proj = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        jt.init.constant_(self.out_proj.bias, 0.0)

    def execute(
        self, queries_NTW: jt.Var, keys_NSW: jt.Var, values_NSW: jt.Var, mask: jt.Var | None = None
    ) -> jt.Var:
        """(N, T, W). `mask` broadcasts to (N * heads, T, S) and is added to the logits."""
        queries, keys, values = self._projected(queries_NTW, keys_NSW, values_NSW)
        if self._any_order and not self.dropout.is_train and can_fuse_attention(mask):
            attended = fused_attention(queries, keys, values, self._heads, mask)
            return self.out_proj(attended)
        queries, keys, values = (split_heads(x, self._heads) for x in (queries, keys, values))
        attended = attention(queries, keys, values, mask, self.dropout)
        return self.out_proj(merge_heads(attended, self._heads))

    def _projected(self, queries: jt.Var, keys: jt.Var, values: jt.Var) -> list[jt.Var]:
        if queries is keys and keys is values:  # one product of three times the size
            projected = nn.linear(queries, self.in_proj_weight, self.in_proj_bias)
            return jt.chunk(projected, 3, dim=2)
        weights = jt.chunk(self.in_proj_weight, 3, dim=0)
        biases = jt.chunk(self.in_proj_bias, 3, dim=0)
        inputs = (queries, keys, values)
        return [nn.linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]


class MLP(nn.Module):
    """Linear layers with widths `widths[1:]` and ReLU between them, named `layers.0`, …"""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(widths)))

    def execute(self, x: jt.Var) -> jt.Var:
        *inner, last = self.layers
        for layer in inner:
            x = relu(layer(x))
        return last(x)


class EncoderLayer(nn.Module):
    """Self-attention and two linear layers, each with a residual and a layer norm (post-norm).

    Positions are added only to queries and keys. Same as `detr/transformer.py
    TransformerEncoderLayer`; RT-DETR's AIFI is the same with GELU.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, activation: Activation, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self._activation = activation
        self.self_attn = MultiHeadAttention(width, heads, dropout, any_order=True)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = LayerNorm(width)
        self.norm2 = LayerNorm(width)
        self.dropout = Dropout(dropout)

    def execute(
        self, tokens_NTW: jt.Var, positions_NTW: jt.Var, mask: jt.Var | None = None
    ) -> jt.Var:
        placed = tokens_NTW + positions_NTW
        attended = self.self_attn(placed, placed, tokens_NTW, mask)
        tokens_NTW = self.norm1(tokens_NTW + self.dropout(attended))
        hidden = self.dropout(self._activation(self.linear1(tokens_NTW)))
        return self.norm2(tokens_NTW + self.dropout(self.linear2(hidden)))
