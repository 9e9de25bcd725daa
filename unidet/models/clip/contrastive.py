"""CLIP's contrastive loss."""

from __future__ import annotations

import math

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.vectors import l2_normalize

_LARGEST_SCALE = 100.0
_FORBIDDEN = -1e9


class ContrastiveLoss(nn.Module):
    """Each image must find its own caption among the batch's, and each caption its image.

    `logit_scale` is the logarithm of the learned scale on the cosines, which is held at 100 or less
    (Radford et al., arXiv 2103.00020, 2.5).
    """

    def __init__(self, scale: float = 1 / 0.07) -> None:
        super().__init__()
        self.logit_scale = jt.array(np.array([math.log(scale)], np.float32))

    def execute(
        self, images_NE: jt.Var, texts_NE: jt.Var, compatible_NN: np.ndarray | None = None
    ) -> jt.Var:
        """Mean of both directions' cross entropies, shape (1,).

        Args:
            images_NE, texts_NE: embeddings, any length; row i belongs to row i.
            compatible_NN: bool, image i is also described by caption j. Such pairs are left out of
                the negatives in both directions; the diagonal counts as it always does.
        """
        # Held by value only: a clamp in the graph would stop the gradient that leads back.
        excess = jt.maximum(self.logit_scale - math.log(_LARGEST_SCALE), 0.0).stop_grad()
        scale = jt.exp(self.logit_scale - excess)
        cosines = nn.matmul_transpose(l2_normalize(images_NE, 1), l2_normalize(texts_NE, 1))
        logits = cosines * scale.broadcast(cosines)
        if compatible_NN is not None:
            others = compatible_NN & ~np.eye(len(compatible_NN), dtype=bool)
            logits = jt.ternary(jt.array(others), jt.float32(_FORBIDDEN).broadcast(logits), logits)
        return (_diagonal_cross_entropy(logits) + _diagonal_cross_entropy(logits.transpose())) * 0.5


def _diagonal_cross_entropy(logits_NN: jt.Var) -> jt.Var:
    """Mean over rows of softmax cross entropy with the diagonal as the right answer."""
    shifted = logits_NN - logits_NN.max(dim=1, keepdims=True).stop_grad()
    eye = jt.array(np.eye(logits_NN.shape[0], dtype=np.float32))
    return (jt.log(jt.exp(shifted).sum(dim=1)) - (shifted * eye).sum(dim=1)).mean()
