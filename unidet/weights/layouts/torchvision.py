"""torchvision's ImageNet classifiers; our networks take everything below the classifier `fc`.

Sources: torchvision 0.15, models/resnet.py, models/shufflenetv2.py. Files older than PyTorch 0.4.1
lack `num_batches_tracked`; files of a backbone alone lack `fc`.
"""

from __future__ import annotations

from functools import partial

from unidet.weights.layouts import nanodet_plus
from unidet.weights.layouts.layer_shapes import (
    Shapes,
    basic_layer,
    batch_norm,
    convolution,
    linear,
    resnet,
    torchvision_stem,
)
from unidet.weights.layouts.layout import Layout

BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
SHUFFLENET_WIDTHS = {"x1_0": (24, 116, 232, 464), "x1_5": (24, 176, 352, 704)}
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def classifier_shapes(depth: int) -> Shapes:
    if depth in BOTTLENECK:
        return resnet(BOTTLENECK[depth]) | linear("fc", None, 2048)
    shapes = torchvision_stem()
    for index, blocks in enumerate(BASIC[depth], start=1):
        shapes |= basic_layer(index, blocks)
    return shapes | linear("fc", None, 512)


RESNETS = tuple(
    Layout(
        name=f"torchvision_resnet{depth}",
        network=f"resnet{depth}",
        summary=f"torchvision's ResNet-{depth}, with or without its classifier",
        shapes=partial(classifier_shapes, depth),
        kept=("fc.*",),
        optional=("fc.*",),
    )
    for depth in (*BASIC, *BOTTLENECK)
)


def _shufflenet_shapes(widths: tuple[int, ...]) -> Shapes:
    last = convolution("conv5.0", 1024, widths[-1], 1) | batch_norm("conv5.1", 1024)
    return nanodet_plus.shufflenet(widths) | last | linear("fc", None, 1024)


SHUFFLENETS = tuple(
    Layout(
        name=f"torchvision_shufflenet_v2_{size}",
        network=f"shufflenet_v2_{size}",
        summary="torchvision's ShuffleNetV2, what NanoDet-Plus' backbone starts from",
        shapes=partial(_shufflenet_shapes, widths),
        renames=nanodet_plus.RENAMES,
        kept=("conv5.*", "fc.*"),
        optional=("conv5.*", "fc.*"),
    )
    for size, widths in SHUFFLENET_WIDTHS.items()
)
