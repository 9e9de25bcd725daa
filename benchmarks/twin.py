"""Speed of stage 1's backbone, FPN and head in PyTorch, measured as in benchmarks/speed.py.

python benchmarks/twin.py cpu|cuda RESULTS.json float32|tf32|bfloat16|float16 [--quick]
"""

from __future__ import annotations

import resource
import sys

import torch
from in_torch.resnet import FPN, ResNet
from speed import FULL, QUICK, TRUNK_FORWARD, TRUNK_STEP, Figures
from torch import nn


class Network(nn.Module):
    """ResNet-50 (frozen batch norms, stem and first layer), FPN and a proposal head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet("torchvision", (1, 2, 3, 4)).eval()
        self.neck = FPN(self.backbone.channels)
        self.hidden = nn.Conv2d(256, 256, 3, padding=1)
        self.outputs = nn.Conv2d(256, 6, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        levels = self.neck(self.backbone(images))
        outputs = [self.outputs(torch.relu(self.hidden(level))) for level in levels]
        return sum((output.float() ** 2).mean() for output in outputs)


def mebibytes_held(device: str) -> float:
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    free, whole = torch.cuda.mem_get_info()
    return (whole - free) / 2**20


def main(device: str, target: str, precision: str, quick: bool) -> None:
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    low = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
    mixed = torch.autocast(device, low, enabled=low is not None)
    scaler = torch.amp.GradScaler(device, enabled=low is torch.float16)
    model = Network().to(device)
    images = torch.randn(2, 3, *(QUICK if quick else FULL), device=device)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.0, momentum=0.9
    )

    def forward() -> None:
        with torch.no_grad(), mixed:
            model(images)

    def update() -> None:
        optimizer.zero_grad()
        with mixed:
            loss = model(images)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    figures = Figures(target, wait, quick)
    print(torch.__version__, flush=True)
    figures.add(TRUNK_FORWARD, forward, lambda: mebibytes_held(device))
    if device == "cuda":
        torch.cuda.empty_cache()
    figures.add(TRUNK_STEP, update, lambda: mebibytes_held(device))


if __name__ == "__main__":
    main(*sys.argv[1:4], quick="--quick" in sys.argv)
