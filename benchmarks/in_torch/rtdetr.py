"""RT-DETR-R18vd in PyTorch: backbone, hybrid encoder, decoder; forward only.

Written from the paper (arXiv 2304.08069). Parameters have the same names as in unidet. As in the
official code, the branches of RepVGG blocks are not fused, and deformable attention uses
`grid_sample`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from in_torch.resnet import ResNet, convolution
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, POINTS, LEVELS, LAYERS, QUERIES, CLASSES = 256, 8, 4, 3, 3, 300, 80


class ConvNorm(nn.Module):
    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        self.conv = convolution(channels_in, channels, kernel, stride)
        self.norm = nn.BatchNorm2d(channels)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return F.silu(x, inplace=True) if self.activate else x


class RepVGG(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels, 3, activate=False)
        self.conv2 = ConvNorm(channels, channels, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv1(x) + self.conv2(x))


class CSPRep(nn.Module):
    def __init__(self, channels_in: int, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels_in, inner, 1)
        self.conv2 = ConvNorm(channels_in, inner, 1)
        self.bottlenecks = nn.Sequential(*(RepVGG(inner) for _ in range(3)))
        self.conv3 = ConvNorm(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.bottlenecks(self.conv1(x)) + self.conv2(x))


class EncoderLayer(nn.Module):
    def __init__(self, hidden: int = 1024, activation: Callable[[Tensor], Tensor] = F.gelu) -> None:
        super().__init__()
        self.activation = activation
        self.self_attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(WIDTH, hidden), nn.Linear(hidden, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        placed = tokens + positions
        attended = self.self_attn(placed, placed, tokens, need_weights=False)[0]
        tokens = self.norm1(tokens + attended)
        return self.norm2(tokens + self.linear2(self.activation(self.linear1(tokens))))


class _Layers(nn.Module):
    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


def positions(height: int, width: int) -> Tensor:
    """(height * width, WIDTH); token t is at x = t // height, y = t % height."""
    tokens, quarter = torch.arange(height * width), WIDTH // 4
    speeds = 10000.0 ** -(torch.arange(quarter) / quarter)
    x, y = (
        tokens.div(height, rounding_mode="floor")[:, None] * speeds,
        (tokens % height)[:, None] * speeds,
    )
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)


class Encoder(nn.Module):
    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.input_proj = nn.ModuleList(
            nn.Sequential(convolution(count, WIDTH, 1), nn.BatchNorm2d(WIDTH)) for count in channels
        )
        self.encoder = nn.ModuleList([_Layers([EncoderLayer()])])
        self.lateral_convs = nn.ModuleList(ConvNorm(WIDTH, WIDTH, 1) for _ in range(2))
        self.fpn_blocks = nn.ModuleList(CSPRep(2 * WIDTH, WIDTH, WIDTH // 2) for _ in range(2))
        self.downsample_convs = nn.ModuleList(ConvNorm(WIDTH, WIDTH, 3, 2) for _ in range(2))
        self.pan_blocks = nn.ModuleList(CSPRep(2 * WIDTH, WIDTH, WIDTH // 2) for _ in range(2))
        self.register_buffer("table", positions(20, 20), persistent=False)  # of 640 pixels

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        levels = [project(level) for project, level in zip(self.input_proj, maps, strict=True)]
        tokens = levels[-1].flatten(2).transpose(1, 2)
        tokens = self.encoder[0].layers[0](tokens, self.table)
        levels[-1] = tokens.transpose(1, 2).reshape(levels[-1].shape)
        inner = [levels[-1]]
        for step, fine in enumerate((levels[1], levels[0])):
            inner[0] = self.lateral_convs[step](inner[0])
            upsampled = F.interpolate(inner[0], scale_factor=2.0)
            inner.insert(0, self.fpn_blocks[step](torch.cat([upsampled, fine], dim=1)))
        outputs = [inner[0]]
        for step, coarse in enumerate(inner[1:]):
            reduced = self.downsample_convs[step](outputs[-1])
            outputs.append(self.pan_blocks[step](torch.cat([reduced, coarse], dim=1)))
        return outputs


class MLP(nn.Module):
    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu_(layer(x))
        return self.layers[-1](x)


class DeformableAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        samples = HEADS * LEVELS * POINTS
        self.sampling_offsets = nn.Linear(WIDTH, samples * 2)
        self.attention_weights = nn.Linear(WIDTH, samples)
        self.value_proj = nn.Linear(WIDTH, WIDTH)
        self.output_proj = nn.Linear(WIDTH, WIDTH)

    def forward(
        self, queries: Tensor, references: Tensor, memory: Tensor, sizes: list[tuple[int, int]]
    ) -> Tensor:
        count, rows = queries.shape[:2]
        offsets = self.sampling_offsets(queries).view(count, rows, HEADS, LEVELS, POINTS, 2)
        weights = self.attention_weights(queries).view(count, rows, HEADS, LEVELS * POINTS)
        weights = weights.softmax(dim=-1).transpose(1, 2).reshape(count * HEADS, 1, rows, -1)
        boxes = references[:, :, None, None, None]
        places = boxes[..., :2] + offsets / POINTS * boxes[..., 2:] * 0.5
        grids = (2 * places - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)  # level, image and head
        values = self.value_proj(memory).view(count, -1, HEADS, WIDTH // HEADS)
        values = values.permute(0, 2, 3, 1).flatten(0, 1)
        parts = values.split([height * width for height, width in sizes], dim=2)
        sampled = [
            F.grid_sample(part.unflatten(2, size), grid, align_corners=False)
            for part, size, grid in zip(parts, sizes, grids, strict=True)
        ]
        summed = (torch.stack(sampled, dim=3).flatten(3) * weights).sum(dim=3)
        return self.output_proj(summed.view(count, WIDTH, rows).transpose(1, 2))


class DecoderLayer(nn.Module):
    def __init__(self, hidden: int = 1024) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.cross_attn = DeformableAttention()
        self.linear1, self.linear2 = nn.Linear(WIDTH, hidden), nn.Linear(hidden, WIDTH)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH) for _ in range(3))

    def forward(
        self, x: Tensor, places: Tensor, references: Tensor, memory: Tensor, sizes: list
    ) -> Tensor:
        placed = x + places
        x = self.norm1(x + self.self_attn(placed, placed, x, need_weights=False)[0])
        x = self.norm2(x + self.cross_attn(x + places, references, memory, sizes))
        x = x + self.linear2(F.relu_(self.linear1(x)))
        return self.norm3(x.clamp(-65504, 65504))


def logit(values: Tensor) -> Tensor:
    values = values.clamp(0, 1)
    return (values.clamp(min=1e-5) / (1 - values).clamp(min=1e-5)).log()


def anchors(sizes: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Logits (S, 4) of one box per cell, and which are valid (S, 1)."""
    levels = []
    for level, (height, width) in enumerate(sizes):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        side = torch.full(x.shape, 0.05 * 2**level)
        parts = [(x + 0.5) / width, (y + 0.5) / height, side, side]
        levels.append(torch.stack(parts, dim=-1).reshape(-1, 4))
    boxes = torch.cat(levels)
    valid = ((boxes > 0.01) & (boxes < 0.99)).all(dim=1, keepdim=True)
    return torch.where(valid, (boxes / (1 - boxes)).log(), torch.inf), valid


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_proj = nn.ModuleList(
            ConvNorm(WIDTH, WIDTH, 1, activate=False) for _ in range(LEVELS)
        )
        self.decoder = _Layers([DecoderLayer() for _ in range(LAYERS)])
        self.denoising_class_embed = nn.Embedding(CLASSES + 1, WIDTH)
        self.query_pos_head = MLP(4, 2 * WIDTH, WIDTH)
        self.enc_output = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH))
        self.enc_score_head = nn.Linear(WIDTH, CLASSES)
        self.enc_bbox_head = MLP(WIDTH, WIDTH, WIDTH, 4)
        self.dec_score_head = nn.ModuleList(nn.Linear(WIDTH, CLASSES) for _ in range(LAYERS))
        self.dec_bbox_head = nn.ModuleList(MLP(WIDTH, WIDTH, WIDTH, 4) for _ in range(LAYERS))

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        levels = [project(level) for project, level in zip(self.input_proj, maps, strict=True)]
        sizes = [tuple(level.shape[2:]) for level in levels]
        memory = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)
        starts, valid = anchors(sizes)
        content = self.enc_output(memory * valid)
        scores = self.enc_score_head(content).amax(dim=2)
        references = self.enc_bbox_head(content) + starts
        rows = scores.topk(QUERIES, dim=1).indices[..., None]
        x = content.gather(1, rows.expand(-1, -1, WIDTH))
        references = references.gather(1, rows.expand(-1, -1, 4)).sigmoid()
        for layer, regress in zip(self.decoder.layers, self.dec_bbox_head, strict=True):
            x = layer(x, self.query_pos_head(references), references, memory, sizes)
            references = (regress(x) + logit(references)).sigmoid()
        return self.dec_score_head[-1](x), references


class RTDETR(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet("vd", (2, 3, 4), (2, 2, 2, 2), bottleneck=False, frozen=False)
        self.encoder = Encoder(self.backbone.channels)
        self.decoder = Decoder()
        self.eval()

    @torch.inference_mode()
    def propose(self, images: Tensor) -> Tensor:
        """(QUERIES, 5): xyxy in pixels and the highest class score, in descending order."""
        (logits,), (boxes,) = self.decoder(self.encoder(self.backbone(images)))
        scores = logits.amax(dim=1).sigmoid()
        half = boxes[:, 2:] / 2
        corners = torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], dim=1)
        corners = (corners * images.shape[2]).clamp(0, images.shape[2])
        return torch.cat([corners, scores[:, None]], dim=1)[scores.argsort(descending=True)]
