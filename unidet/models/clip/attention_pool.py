"""CLIP's attention pool: one embedding per feature map, by a query that is its mean.

Dimension letters: N maps, C channels, T = 1 + H * W tokens, A heads, E embedding.

Source: Radford et al., arXiv 2103.00020, 2.4; openai/CLIP clip/model.py `AttentionPool2d`; in
UniDetector bbox_head_clip.py lines 15-48. Those attend from every token and keep the first; here
only its query exists, and the projections of keys and values move to the query's side:
q . (K x) = (K^T q) . x and sum_t a_t (V x_t) = V (sum_t a_t x_t), so no token is ever projected.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jittor as jt
from jittor import nn

from unidet.ops.attention import batched_matmul
from unidet.ops.blocked_maps import is_blocked, to_plain

Product = Callable[[jt.Var, jt.Var], jt.Var]


class AttentionPool(nn.Module):
    """Feature maps (N, channels, size, size) to embeddings (N, embedding), not normalized.

    Args:
        size: side of the feature maps in cells; the positional embedding allows no other.
        channels: of the feature maps; a multiple of `heads`.
        heads: CLIP has channels / 64.
        embedding: length of an embedding.
    """

    def __init__(self, *, size: int, channels: int, heads: int, embedding: int) -> None:
        super().__init__()
        self.size, self._heads = size, heads
        self.positional_embedding = jt.init.gauss((size * size + 1, channels), std=channels**-0.5)
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, embedding)
        for projection in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            jt.init.gauss_(projection.weight, std=channels**-0.5)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        """ValueError where a map's sides are not `size`."""
        multiply = partial(batched_matmul, by_onednn=is_blocked(feats_NCHW))
        feats_NCHW = to_plain(feats_NCHW)
        if feats_NCHW.shape[2:] != [self.size, self.size]:
            raise ValueError(f"maps {tuple(feats_NCHW.shape)}, sides must be {self.size}")
        tokens_NCT = self._tokens(feats_NCHW)
        probe_NAC = self._probe(tokens_NCT[:, :, 0], multiply)
        weights_NAT = nn.softmax(multiply(probe_NAC, tokens_NCT), dim=-1)
        attended_NAC = multiply(weights_NAT, tokens_NCT.transpose(0, 2, 1))
        return self.c_proj(self._values(attended_NAC, multiply))

    def _tokens(self, feats_NCHW: jt.Var) -> jt.Var:
        pixels_NCT = feats_NCHW.reshape(*feats_NCHW.shape[:2], self.size * self.size)
        tokens_NCT = jt.concat([pixels_NCT.mean(dim=2, keepdims=True), pixels_NCT], dim=2)
        return tokens_NCT + self.positional_embedding.transpose(1, 0).broadcast(tokens_NCT)

    def _probe(self, first_NC: jt.Var, multiply: Product) -> jt.Var:
        """The scaled query of the first token, seen through each head's keys: (N, A, C).

        The keys' bias adds one number to all of a query's scores, which softmax ignores.
        """
        count, channels = first_NC.shape
        width = channels // self._heads
        queries = (self.q_proj(first_NC) * width**-0.5).reshape(count, self._heads, width)
        keys = self.k_proj.weight.reshape(self._heads, width, channels)
        return multiply(queries.transpose(1, 0, 2), keys).transpose(1, 0, 2)

    def _values(self, attended_NAC: jt.Var, multiply: Product) -> jt.Var:
        """Each head's value of its weighted mean token, heads side by side: (N, C)."""
        count, heads, channels = attended_NAC.shape
        projection = self.v_proj.weight.reshape(heads, channels // heads, channels)
        values = multiply(attended_NAC.transpose(1, 0, 2), projection.transpose(0, 2, 1))
        return values.transpose(1, 0, 2).reshape(count, channels) + self.v_proj.bias
