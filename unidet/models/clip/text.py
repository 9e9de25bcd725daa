"""CLIP's text encoder: a causal transformer whose state at the end mark is the text's embedding.

Dimension letters: N texts, L context length, T tokens up to the longest end mark, W width, E
embedding. Parameter names are those of OpenAI's state dict.

Source: Radford et al., arXiv 2103.00020, 2.4; openai/CLIP clip/model.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.transformer_layers import FORBIDDEN, LayerNorm, MultiHeadAttention

if TYPE_CHECKING:
    from unidet.config.networks import TextConfig


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x)."""

    def execute(self, x: jt.Var) -> jt.Var:
        return x * jt.sigmoid(1.702 * x)


class ResidualAttentionBlock(nn.Module):
    """Attention and a two-layer MLP, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.attn = MultiHeadAttention(width, heads)
        self.ln_1 = LayerNorm(width)
        self.mlp = _MLP(width)
        self.ln_2 = LayerNorm(width)
        shrunk = width**-0.5 * (2 * layers) ** -0.5
        jt.init.gauss_(self.attn.out_proj.weight, std=shrunk)
        jt.init.gauss_(self.mlp.c_proj.weight, std=shrunk)

    def execute(self, tokens_NTW: jt.Var, mask_TT: jt.Var) -> jt.Var:
        tokens = self.ln_1(tokens_NTW)
        tokens_NTW = tokens_NTW + self.attn(tokens, tokens, tokens, mask_TT)
        return tokens_NTW + self.mlp(self.ln_2(tokens_NTW))


class _MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gelu = QuickGELU()
        self.c_proj = nn.Linear(4 * width, width)
        jt.init.gauss_(self.c_fc.weight, std=(2 * width) ** -0.5)

    def execute(self, tokens: jt.Var) -> jt.Var:
        return self.c_proj(self.gelu(self.c_fc(tokens)))


class Transformer(nn.Module):
    """Residual blocks one after the other."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        blocks = [ResidualAttentionBlock(width, heads, layers) for _ in range(layers)]
        self.resblocks = nn.Sequential(*blocks)

    def execute(self, tokens_NTW: jt.Var, mask_TT: jt.Var) -> list[jt.Var]:
        """The tokens after each block."""
        states = [tokens_NTW]
        for block in self.resblocks:
            states.append(block(states[-1], mask_TT))
        return states[1:]


class TextEncoder(nn.Module):
    """Token numbers to text embeddings.

    Args:
        settings: of the transformer.
        vocabulary_size: of the tokenizer; its highest number is the end mark.
        embedding: length of an embedding; RN50's is 1024.
    """

    def __init__(self, settings: TextConfig, *, vocabulary_size: int, embedding: int) -> None:
        super().__init__()
        width = settings.width
        self._end = vocabulary_size - 1
        self.token_embedding = nn.Embedding(vocabulary_size, width)
        jt.init.gauss_(self.token_embedding.weight, std=0.02)
        self.positional_embedding = jt.init.gauss((settings.context_length, width), std=0.01)
        self.transformer = Transformer(width, settings.layers, settings.heads)
        self.ln_final = LayerNorm(width)
        self.text_projection = jt.init.gauss((width, embedding), std=width**-0.5)

    def execute(self, tokens_NL: np.ndarray) -> jt.Var:
        """Embeddings (N, E), not normalized, of token rows from `Tokenizer`, each with an end mark.

        What follows a row's end mark cannot reach it, so columns that no row needs are left out.
        ValueError where a row has no end mark (another tokenizer's rows).
        """
        return self.embeddings(self.states(tokens_NL)[-1], tokens_NL)

    def states(self, tokens_NL: np.ndarray) -> list[jt.Var]:
        """After each block the tokens (N, T, W), T the columns up to the last end mark."""
        length = int(self._ends(tokens_NL).max()) + 1
        hidden = self.token_embedding(jt.array(tokens_NL[:, :length].astype(np.int32)))
        hidden = hidden + self.positional_embedding[:length]
        mask = np.triu(np.full((length, length), FORBIDDEN, np.float32), 1)
        return self.transformer(hidden, jt.array(mask))

    def embeddings(self, tokens_NTW: jt.Var, tokens_NL: np.ndarray) -> jt.Var:
        """The last block's state at each row's end mark, normalized and projected: (N, E)."""
        ends = self._ends(tokens_NL)
        rows = np.arange(len(ends), dtype=np.int32)
        ends_NW = tokens_NTW[jt.array(rows), jt.array(ends.astype(np.int32))]
        return jt.matmul(self.ln_final(ends_NW), self.text_projection)

    def _ends(self, tokens_NL: np.ndarray) -> np.ndarray:
        ends = tokens_NL.argmax(axis=1)
        if (tokens_NL[np.arange(len(tokens_NL)), ends] != self._end).any():
            raise ValueError(f"a row of tokens does not end with the mark {self._end}")
        return ends
