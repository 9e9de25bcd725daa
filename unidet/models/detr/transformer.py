"""DETR's transformer: an encoder over the cells, a decoder of learned queries; both post-norm.

N images, S cells, Q queries, W width. Parameter names are the official ones.
Source: Carion et al., arXiv 2005.12872; detr models/transformer.py.
"""

from __future__ import annotations

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.transformer_layers import (
    FORBIDDEN,
    Dropout,
    EncoderLayer,
    LayerNorm,
    MultiHeadAttention,
)
from unidet.ops.activation import relu


class DecoderLayer(nn.Module):
    """Attention among the queries, attention to the memory, two linear layers."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(width, heads, dropout, any_order=True)
        self.multihead_attn = MultiHeadAttention(width, heads, dropout, any_order=True)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = LayerNorm(width)
        self.norm2 = LayerNorm(width)
        self.norm3 = LayerNorm(width)
        self.dropout = Dropout(dropout)

    def execute(
        self,
        queries_NQW: jt.Var,
        query_positions: jt.Var,
        memory_NSW: jt.Var,
        placed_memory: jt.Var,
        mask: jt.Var,
    ) -> jt.Var:
        """The queries one layer further; `placed_memory` is the memory with its positions."""
        placed = queries_NQW + query_positions
        attended = self.self_attn(placed, placed, queries_NQW)
        queries_NQW = self.norm1(queries_NQW + self.dropout(attended))
        placed = queries_NQW + query_positions
        seen = self.multihead_attn(placed, placed_memory, memory_NSW, mask)
        queries_NQW = self.norm2(queries_NQW + self.dropout(seen))
        hidden = self.dropout(relu(self.linear1(queries_NQW)))
        return self.norm3(queries_NQW + self.dropout(self.linear2(hidden)))


class _Encoder(nn.Module):
    def __init__(self, layers: list[EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)


class _Decoder(nn.Module):
    def __init__(self, layers: list[DecoderLayer], width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.norm = LayerNorm(width)


class Transformer(nn.Module):
    """Published sizes: width 256, 8 heads, hidden 2048, 6 and 6 layers, dropout 0.1."""

    def __init__(self, width: int, *, heads: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self._heads = heads
        self.encoder = _Encoder(
            [EncoderLayer(width, heads, hidden, relu, dropout) for _ in range(layers)]
        )
        self.decoder = _Decoder(
            [DecoderLayer(width, heads, hidden, dropout) for _ in range(layers)], width
        )
        for name, parameter in self.named_parameters():
            if name.endswith("weight") and len(parameter.shape) > 1:
                jt.init.xavier_uniform_(parameter)

    def execute(
        self,
        cells_NSW: jt.Var,
        positions_NSW: jt.Var,
        queries_QW: jt.Var,
        padding_NS: np.ndarray,
    ) -> list[jt.Var]:
        """Every decoder layer's queries (N, Q, W), normalized for the heads.

        `padding_NS` is True for cells that nothing may look at.
        """
        mask = np.where(padding_NS, FORBIDDEN, 0).astype(np.float32).repeat(self._heads, axis=0)
        mask_B1S = jt.array(mask[:, None, :])
        memory = cells_NSW
        for layer in self.encoder.layers:
            memory = layer(memory, positions_NSW, mask_B1S)
        placed_memory = memory + positions_NSW
        shape = (cells_NSW.shape[0], *queries_QW.shape)
        positions = queries_QW.unsqueeze(0).broadcast(shape)
        queries, layers = jt.zeros(shape), []
        for layer in self.decoder.layers:
            queries = layer(queries, positions, memory, placed_memory, mask_B1S)
            layers.append(self.decoder.norm(queries))
        return layers
