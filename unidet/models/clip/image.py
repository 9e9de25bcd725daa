"""CLIP's image encoder: a ResNet in CLIP's style and an attention pool.

Source: Radford et al., arXiv 2103.00020, 2.4; openai/CLIP clip/model.py `ModifiedResNet`.
"""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.clip.attention_pool import AttentionPool
from unidet.models.resnet import ResNet


class ImageEncoder(nn.Module):
    """Normalized images (N, 3, S, S) to embeddings (N, E), not normalized.

    S is the pool's side times the backbone's stride. OpenAI's `visual.X` is `backbone.X` here, and
    `visual.attnpool.X` is `attnpool.X`.
    """

    def __init__(self, backbone: ResNet, attnpool: AttentionPool) -> None:
        super().__init__()
        self.backbone = backbone
        self.attnpool = attnpool

    def execute(self, images_NCHW: jt.Var) -> jt.Var:
        return self.attnpool(self.backbone(images_NCHW)[-1])
