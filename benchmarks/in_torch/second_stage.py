"""UniDetector's second stage in PyTorch with its official settings.

CLIP's ResNet-50 up to C4, its last layer and attention pool on regions, and classification by the
embeddings of names. Written from the papers of UniDetector (arXiv 2303.11749) and CLIP (arXiv
2103.00020). As in the official code, the pool computes all 50 tokens and keeps the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from in_torch import boxes
from in_torch.first_stage import REGIONS, with_image
from in_torch.regions import roi_align
from in_torch.resnet import ResNet, layer
from torch import Tensor, nn
from torch.nn import functional as F

FEDERATED, SCALE = 50, 100.0


class AttentionPool(nn.Module):
    """Attention pooling: (R, channels, 7, 7) -> (R, embedding)."""

    def __init__(self, channels: int = 2048, heads: int = 32, embedding: int = 1024) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.empty(50, channels))
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, embedding)

    def forward(self, maps: Tensor) -> Tensor:
        pixels = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([pixels.mean(dim=1, keepdim=True), pixels], dim=1)
        tokens = tokens + self.positional_embedding
        projected = (
            projection(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(*projected).transpose(1, 2).flatten(2)
        return self.c_proj(attended)[:, 0]


class SecondStage(nn.Module):
    """The whole network. Parameters have the same names as in unidet."""

    def __init__(self, vocabularies: Sequence[np.ndarray]) -> None:
        super().__init__()
        self.backbone = ResNet("clip", (3,))
        self.shared_layer, _ = layer("clip", True, 1024, 4, 3)
        self.pool = AttentionPool()
        self.box_regressor = nn.Linear(1024, 4)
        self.names = [F.normalize(torch.tensor(text).float()) for text in vocabularies]
        self.eval()  # batch norms use running statistics in training too

    def forward(self, images: Tensor, rois: Tensor) -> tuple[list[Tensor], Tensor]:
        """Logits for each vocabulary, and deltas of the regions."""
        maps = self.backbone(images)[-1]
        embeddings = self.pool(self.shared_layer(roi_align(maps, rois, 14, 1 / 16)))
        unit = F.normalize(embeddings)
        return [SCALE * unit @ text.T for text in self.names], self.box_regressor(embeddings)

    @torch.inference_mode()
    def classify(self, images: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (P, 4) and logits (P, names) of one image."""
        (logits,), deltas = self(images, with_image([proposals]))
        return boxes.clipped(
            boxes.decode_deltas(proposals[:, :4], deltas), *images.shape[2:]
        ), logits

    def losses(
        self, images: Tensor, objects: Tensor, labels: Tensor, proposals: Tensor, seed: tuple
    ) -> dict[str, Tensor]:
        """Losses of one image, whose labels are of the first vocabulary."""
        rng, count = np.random.default_rng((*seed, 1)), len(self.names[0])
        assigned = boxes.match(boxes.iou(objects[:, None], proposals[None, :, :4]), 0.5, 0.5)
        assigned = torch.cat([torch.arange(len(objects)), assigned])
        rows = torch.cat(boxes.draw(assigned, REGIONS, 0.25, rng))
        rois, matched = torch.cat([objects, proposals[:, :4]])[rows], assigned[rows]
        positive = matched >= 0
        own = torch.where(positive, labels[matched.clamp(min=0)], count)
        present = own.unique().numpy()
        others = np.setdiff1d(np.arange(count + 1), present)
        drawn = rng.choice(others, FEDERATED - len(present), replace=False)
        classes = np.sort(np.concatenate([present, drawn]))
        compared = torch.from_numpy(classes[classes < count])
        logits, deltas = self(images, with_image([rois]))
        targets = (own[:, None] == compared).float()
        names = F.binary_cross_entropy_with_logits(logits[0][:, compared], targets, reduction="sum")
        moved = deltas[positive] - boxes.encode_deltas(rois[positive], objects[matched[positive]])
        return {"loss_class": names / len(rois), "loss_box": moved.abs().sum() / len(rois)}
