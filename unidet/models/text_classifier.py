"""Classification of region embeddings by the embeddings of category names, per dataset.

R: regions, C: categories of a dataset, D: length of an embedding.

Source: Wang et al., arXiv 2303.11749, 3.2; UniDetector bbox_head_clip.py lines 160-180 and
bbox_head_clip_partitioned.py lines 147-178. The official code has a zero vector for the background,
whose logit is never used; it is omitted here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.errors import UserError
from unidet.ops.vectors import l2_normalize

if TYPE_CHECKING:
    from unidet.config.networks import ClassifierConfig


class TextClassifier(nn.Module):
    """logits = scale * cosine(region, name) + bias.

    With `learn_scale` both are trained, as parameters `logit_scale` (the logarithm of the scale)
    and `logit_bias`, with initial values from the settings. D is the settings' `embedding`.
    """

    def __init__(self, settings: ClassifierConfig) -> None:
        super().__init__()
        self._embedding = settings.embedding
        self._fixed = None if settings.learn_scale else (settings.scale, settings.bias)
        self._texts: list[jt.Var] = []
        if settings.learn_scale:
            self.logit_scale = jt.array(np.array([math.log(settings.scale)], np.float32))
            self.logit_bias = jt.array(np.array([settings.bias], np.float32))

    def set_vocabularies(self, texts: Sequence[np.ndarray]) -> None:
        """Set the embeddings of names, one (C, D) array per dataset; they are not parameters.

        Embeddings may have any length; they are normalized.

        Raises:
            UserError: an array is empty, not finite, or has another width than D.
        """
        for dataset, text in enumerate(texts):
            if text.ndim != 2 or text.shape[1] != self._embedding or not len(text):
                raise UserError(
                    f"text embeddings of dataset {dataset} have shape {text.shape}, must be "
                    f"(categories, {self._embedding}); embed the names with the network's own CLIP"
                )
            if not np.isfinite(text).all():
                raise UserError(f"text embeddings of dataset {dataset} hold NaN or infinite values")
        arrays = (jt.array(text.astype(np.float32)) for text in texts)
        self._texts = [l2_normalize(array, 1).stop_grad() for array in arrays]

    def replace_vocabulary(self, dataset: int, text_CD: jt.Var) -> None:
        """Replace the embeddings of a dataset by these, of any length; they may be parameters."""
        self._texts[dataset] = l2_normalize(text_CD, 1)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """C per dataset."""
        return tuple(text.shape[0] for text in self._texts)

    def execute(self, embeddings_RD: jt.Var, dataset: int) -> jt.Var:
        """Logits (R, C) of one dataset's names for normalized embeddings."""
        cosines = nn.matmul_transpose(embeddings_RD, self._texts[dataset])
        if self._fixed is not None:
            scale, bias = self._fixed
            return cosines * scale + bias
        scales = jt.exp(self.logit_scale).broadcast(cosines)
        return cosines * scales + self.logit_bias.broadcast(cosines)

    def settings(self) -> dict[str, float]:
        """The current `scale` and `bias`, for computing logits outside the network."""
        if self._fixed is not None:
            return dict(zip(("scale", "bias"), self._fixed, strict=True))
        return {
            "scale": math.exp(float(self.logit_scale.item())),
            "bias": float(self.logit_bias.item()),
        }
