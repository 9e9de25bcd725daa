"""torchvision's ImageNet classifiers; our networks take everything below the classifier `fc`.

Source: torchvision 0.15, models/resnet.py. Files older than PyTorch 0.4.1 lack
`num_batches_tracked`; files of a backbone alone lack `fc`.
"""

from __future__ import annotations

from functools import partial

from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.shapes import Shapes, linear, resnet


def classifier_shapes(blocks: tuple[int, ...]) -> Shapes:
    return resnet(blocks) | linear("fc", None, 2048)


RESNETS = tuple(
    Layout(
        name=f"torchvision_resnet{depth}",
        network=f"resnet{depth}",
        summary=f"torchvision's ResNet-{depth}, with or without its classifier",
        shapes=partial(classifier_shapes, blocks),
        kept=("fc.*",),
        optional=("fc.*",),
    )
    for depth, blocks in ((50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3)))
)
