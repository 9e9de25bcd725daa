"""Image and text encoders trained jointly."""

from __future__ import annotations

from typing import Any

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.sampling import BatchRandom


class ImageTextPair(nn.Module):
    """CLIP's two encoders and their loss, fed with uint8 crops.

    Args:
        image: normalized images (N, 3, S, S) to embeddings (N, E).
        text: token rows to embeddings (N, E).
        contrast: see `ContrastiveLoss`.
        mean, std: of 8-bit RGB.
    """

    def __init__(
        self,
        image: nn.Module,
        text: nn.Module,
        contrast: nn.Module,
        *,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.image = image
        self.text = text
        self.contrast = contrast
        self._mean = np.array(mean, np.float32).reshape(1, 3, 1, 1)
        self._std = np.array(std, np.float32).reshape(1, 3, 1, 1)

    def loss(self, batch: Any, rng: BatchRandom) -> Losses:
        """`loss_contrastive` of a batch with `pixels`, `side`, `tokens` and `compatible_NN`.

        It compares all pairs of what it sees, so a batch in parts would be another, with the mean
        of the parts' losses.
        """
        images = self.embed_images(batch.pixels, batch.side)
        texts = self.text(batch.tokens)
        contrast = self.contrast(images, texts, batch.compatible_NN)
        return {"loss_contrastive": LossTerm(contrast, 1.0)}

    def embed_images(self, pixels_NHWC: np.ndarray, side: int = 0) -> jt.Var:
        """Embeddings of uint8 crops, resized to `side` pixels first (0: as they are)."""
        pixels = jt.array(np.ascontiguousarray(pixels_NHWC.transpose(0, 3, 1, 2)))
        images = (pixels.float32() - self._mean) / self._std
        if side and side != images.shape[2]:
            images = nn.interpolate(images, size=(side, side), mode="bilinear")
        return self.image(images)
