"""A layer of RT-DETR's decoder and its deformable cross attention.

N images, Q queries, S memory cells of all levels, A heads, L levels, P points, W width.
Source: RT-DETR src/zoo/rtdetr/rtdetr_decoder.py lines 42-225.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.transformer_layers import LayerNorm, MultiHeadAttention
from unidet.ops.activation import relu
from unidet.ops.deformable_attention import deformable_attention

LARGEST_HALF = 65504.0
"""Largest float16; the official code clamps to it before the last norm."""
Sizes = Sequence[tuple[int, int]]


class DeformableAttention(nn.Module):
    """Each head looks at `points` places of every level, around the reference box's centre."""

    def __init__(self, width: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self._shape = (heads, levels, points)
        samples = heads * levels * points
        self.sampling_offsets = nn.Linear(width, samples * 2)
        self.attention_weights = nn.Linear(width, samples)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        self._initialize()

    def _initialize(self) -> None:
        for layer in (self.sampling_offsets, self.attention_weights):
            jt.init.constant_(layer.weight, 0.0)
            jt.init.constant_(layer.bias, 0.0)
        self.sampling_offsets.bias.assign(jt.array(initial_offsets(*self._shape)))
        for layer in (self.value_proj, self.output_proj):
            jt.init.xavier_uniform_(layer.weight)
            jt.init.constant_(layer.bias, 0.0)

    def execute(
        self, queries_NQW: jt.Var, boxes_NQ4: jt.Var, memory_NSW: jt.Var, sizes: Sizes
    ) -> jt.Var:
        """(N, Q, W). `boxes_NQ4` are the references, cxcywh in 0..1."""
        heads, levels, points = self._shape
        images, queries, width = queries_NQW.shape
        shape = (images, queries, heads, levels, points)
        offsets = self.sampling_offsets(queries_NQW).reshape(*shape, 2)
        weights = self.attention_weights(queries_NQW).reshape(images, queries, heads, -1)
        weights = nn.softmax(weights, dim=-1).reshape(shape)
        boxes = boxes_NQ4.reshape(images, queries, 1, 1, 1, 4)
        locations = boxes[..., :2] + offsets * (0.5 / points) * boxes[..., 2:]
        values = self.value_proj(memory_NSW).reshape(images, -1, heads, width // heads)
        sampled = deformable_attention(values, locations, weights, sizes)
        return self.output_proj(sampled.reshape(images, queries, width))


def initial_offsets(heads: int, levels: int, points: int) -> np.ndarray:
    """Head k points in direction 2 pi k / A, point p at p + 1 steps: (A * L * P * 2,)."""
    angles = np.arange(heads) * (2 * math.pi / heads)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    directions /= np.abs(directions).max(axis=-1, keepdims=True)
    steps = np.arange(1, points + 1)[None, None, :, None]
    offsets = np.tile(directions[:, None, None], (1, levels, points, 1)) * steps
    return offsets.ravel().astype(np.float32)


class DecoderLayer(nn.Module):
    """Attention among the queries, deformable attention to the memory, MLP; post-norm."""

    def __init__(self, width: int, heads: int, levels: int, points: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(width, heads, any_order=True)
        self.norm1 = LayerNorm(width)
        self.cross_attn = DeformableAttention(width, heads, levels, points)
        self.norm2 = LayerNorm(width)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm3 = LayerNorm(width)

    def execute(
        self,
        queries_NQW: jt.Var,
        positions_NQW: jt.Var,
        boxes_NQ4: jt.Var,
        memory_NSW: jt.Var,
        sizes: Sizes,
        mask_QQ: jt.Var | None,
    ) -> jt.Var:
        """The queries (N, Q, W) one layer further."""
        placed = queries_NQW + positions_NQW
        attended = self.self_attn(placed, placed, queries_NQW, mask_QQ)
        queries_NQW = self.norm1(queries_NQW + attended)
        seen = self.cross_attn(queries_NQW + positions_NQW, boxes_NQ4, memory_NSW, sizes)
        queries_NQW = self.norm2(queries_NQW + seen)
        total = queries_NQW + self.linear2(relu(self.linear1(queries_NQW)))
        return self.norm3(jt.clamp(total, -LARGEST_HALF, LARGEST_HALF))
