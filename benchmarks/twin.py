"""The trunk of stage 1 in PyTorch, timed as benchmarks/networks.py times it.

python benchmarks/twin.py RESULTS.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet50
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

WARM_UP, TIMED = 3, 10


class Trunk(nn.Module):
    """ResNet-50 with frozen batch norm, FPN, and a proposal head of one hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
        for part in (self.body.conv1, self.body.bn1, self.body.layer1):
            part.requires_grad_(False)
        channels = [256, 512, 1024, 2048]
        self.neck = FeaturePyramidNetwork(channels, 256, LastLevelMaxPool())
        self.hidden = nn.Conv2d(256, 256, 3, padding=1)
        self.outputs = nn.Conv2d(256, 6, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        body = self.body
        x = body.maxpool(body.relu(body.bn1(body.conv1(images))))
        maps = {}
        for row, layer in enumerate((body.layer1, body.layer2, body.layer3, body.layer4)):
            maps[str(row)] = x = layer(x)
        levels = self.neck(maps).values()
        outputs = [self.outputs(torch.relu(self.hidden(level))) for level in levels]
        return sum((output.float() ** 2).mean() for output in outputs)


def seconds(work) -> float:
    times = []
    for _ in range(WARM_UP + TIMED):
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return float(np.median(times[WARM_UP:]))


def main(target: str) -> None:
    torch.backends.cudnn.benchmark = True
    model = Trunk().cuda()
    images = torch.randn(2, 3, 800, 1088, device="cuda")
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.0, momentum=0.9
    )
    found = {"torch": torch.__version__}
    for precision in ("float32", "tf32", "bfloat16"):
        torch.backends.cudnn.allow_tf32 = precision != "float32"
        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        mixed = torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16")

        def forward(mixed=mixed) -> None:
            with torch.no_grad(), mixed:
                model(images)

        def update(mixed=mixed) -> None:
            optimizer.zero_grad()
            with mixed:
                loss = model(images)
            loss.backward()
            optimizer.step()

        torch.cuda.reset_peak_memory_stats()
        found[precision] = {"forward": seconds(forward), "training step": seconds(update)}
        found[precision]["gigabytes"] = torch.cuda.max_memory_allocated() / 2**30
        print(precision, found[precision], flush=True)
    Path(target).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
