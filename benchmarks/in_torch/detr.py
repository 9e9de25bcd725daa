"""DETR with a ResNet-50 in PyTorch; forward only.

Written from the paper (arXiv 2005.12872). Parameters have the same names as in unidet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from in_torch.resnet import ResNet
from in_torch.rtdetr import HEADS, MLP, WIDTH, EncoderLayer
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN, LAYERS, QUERIES, CLASSES = 2048, 6, 100, 91


def positions(height: int, width: int) -> Tensor:
    """(height * width, WIDTH): y, then x; sines in even features, cosines in odd ones."""
    half = WIDTH // 2
    speeds = 10000.0 ** (2 * (torch.arange(half) // 2) / half)
    parts = []
    for count in (height, width):
        places = torch.arange(1, count + 1) / (count + 1e-6) * 2 * torch.pi
        angles = places[:, None] / speeds
        parts.append(torch.where(torch.arange(half) % 2 == 0, angles.sin(), angles.cos()))
    y, x = parts
    rows = y[:, None].expand(-1, width, -1)
    return torch.cat([rows, x.expand(height, -1, -1)], dim=2).flatten(0, 1)


class DecoderLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH) for _ in range(3))

    def forward(self, x: Tensor, places: Tensor, memory: Tensor, placed: Tensor) -> Tensor:
        queries = x + places
        x = self.norm1(x + self.self_attn(queries, queries, x, need_weights=False)[0])
        x = self.norm2(x + self.multihead_attn(x + places, placed, memory, need_weights=False)[0])
        return self.norm3(x + self.linear2(F.relu_(self.linear1(x))))


class _Layers(nn.Module):
    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Layers([EncoderLayer(HIDDEN, F.relu_) for _ in range(LAYERS)])
        self.decoder = _Layers([DecoderLayer() for _ in range(LAYERS)])
        self.decoder.norm = nn.LayerNorm(WIDTH)

    def forward(self, cells: Tensor, places: Tensor, queries: Tensor) -> Tensor:
        for layer in self.encoder.layers:
            cells = layer(cells, places)
        x = torch.zeros_like(queries)
        for layer in self.decoder.layers:
            x = layer(x, queries, cells, cells + places)
        return self.decoder.norm(x)


class DETR(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet("torchvision", (4,))
        self.transformer = Transformer()
        self.class_embed = nn.Linear(WIDTH, CLASSES + 1)
        self.bbox_embed = MLP(WIDTH, WIDTH, WIDTH, 4)
        self.query_embed = nn.Embedding(QUERIES, WIDTH)
        self.input_proj = nn.Conv2d(self.backbone.channels[-1], WIDTH, 1)
        self.eval()

    @torch.inference_mode()
    def propose(self, images: Tensor) -> Tensor:
        """(QUERIES, 5): xyxy in pixels and the highest class score, in descending order."""
        feats = self.input_proj(self.backbone(images)[-1])
        cells, places = feats.flatten(2).transpose(1, 2), positions(*feats.shape[2:])
        x = self.transformer(cells, places, self.query_embed.weight[None])[0]
        boxes = self.bbox_embed(x).sigmoid()
        scores = self.class_embed(x).softmax(dim=1)[:, :-1].amax(dim=1)
        half = boxes[:, 2:] / 2
        corners = torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], dim=1).clamp(0, 1)
        corners = corners * torch.tensor(images.shape[2:]).flip(0).repeat(2)
        return torch.cat([corners, scores[:, None]], dim=1)[scores.argsort(descending=True)]
