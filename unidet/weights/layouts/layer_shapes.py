"""Shapes of the usual layers under PyTorch's names, in the order of a PyTorch state dict.

Each function gives {name: shape}; together they spell out a whole checkpoint without building it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from unidet.weights.layouts.layout import Shape

Shapes = dict[str, Shape]


def convolution(
    name: str, out: int | None, channels: int, size: int, *, bias: bool = False
) -> Shapes:
    weight: Shapes = {f"{name}.weight": (out, channels, size, size)}
    return weight | ({f"{name}.bias": (out,)} if bias else {})


def linear(name: str, out: int | None, width: int, *, bias: bool = True) -> Shapes:
    weight: Shapes = {f"{name}.weight": (out, width)}
    return weight | ({f"{name}.bias": (out,)} if bias else {})


def mlp(name: str, *widths: int) -> Shapes:
    """Linear layers `layers.0`, `layers.1`, … between these widths."""
    shapes: Shapes = {}
    for index, (width, out) in enumerate(pairwise(widths)):
        shapes |= linear(f"{name}.layers.{index}", out, width)
    return shapes


def attention(name: str, width: int) -> Shapes:
    """torch.nn.MultiheadAttention."""
    return {
        f"{name}.in_proj_weight": (3 * width, width),
        f"{name}.in_proj_bias": (3 * width,),
        **linear(f"{name}.out_proj", width, width),
    }


def layer_norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def batch_norm(name: str, channels: int, *, counted: bool = True) -> Shapes:
    """`counted`: with `num_batches_tracked`, which PyTorch keeps and frozen norms do not."""
    leaves = ("weight", "bias", "running_mean", "running_var")
    shapes: Shapes = {f"{name}.{leaf}": (channels,) for leaf in leaves}
    return shapes | ({f"{name}.num_batches_tracked": ()} if counted else {})


def under(prefix: str, shapes: Mapping[str, Shape]) -> Shapes:
    """The same with `prefix` in front of every name."""
    return {prefix + name: shape for name, shape in shapes.items()}


def resnet_layer(index: int, blocks: int, width: int = 64) -> Shapes:
    """`layer1` to `layer4` of a ResNet with bottlenecks, whose first has `width` inner channels."""
    inner = width * 2 ** (index - 1)
    channels = width if index == 1 else inner * 2
    shapes: Shapes = {}
    for block in range(blocks):
        name = f"layer{index}.{block}"
        shapes |= convolution(f"{name}.conv1", inner, channels, 1)
        shapes |= batch_norm(f"{name}.bn1", inner)
        shapes |= convolution(f"{name}.conv2", inner, inner, 3)
        shapes |= batch_norm(f"{name}.bn2", inner)
        shapes |= convolution(f"{name}.conv3", 4 * inner, inner, 1)
        shapes |= batch_norm(f"{name}.bn3", 4 * inner)
        if block == 0:
            shapes |= convolution(f"{name}.downsample.0", 4 * inner, channels, 1)
            shapes |= batch_norm(f"{name}.downsample.1", 4 * inner)
        channels = 4 * inner
    return shapes


def resnet_layers(blocks: Sequence[int], width: int = 64) -> Shapes:
    """Layers 1 to `len(blocks)`."""
    shapes: Shapes = {}
    for index, count in enumerate(blocks, start=1):
        shapes |= resnet_layer(index, count, width)
    return shapes


def basic_layer(index: int, blocks: int, width: int = 64) -> Shapes:
    """`layer1` to `layer4` of a ResNet whose blocks are two 3x3 convolutions."""
    out = width * 2 ** (index - 1)
    channels = width if index == 1 else out // 2
    shapes: Shapes = {}
    for block in range(blocks):
        name = f"layer{index}.{block}"
        shapes |= convolution(f"{name}.conv1", out, channels, 3) | batch_norm(f"{name}.bn1", out)
        shapes |= convolution(f"{name}.conv2", out, out, 3) | batch_norm(f"{name}.bn2", out)
        if channels != out:
            shapes |= convolution(f"{name}.downsample.0", out, channels, 1)
            shapes |= batch_norm(f"{name}.downsample.1", out)
        channels = out
    return shapes


def torchvision_stem() -> Shapes:
    """The 7x7 convolution in front of torchvision's ResNets."""
    return convolution("conv1", 64, 3, 7) | batch_norm("bn1", 64)


def resnet(blocks: Sequence[int]) -> Shapes:
    """torchvision's ResNet (50, 101, 152) to the last of `blocks`, without its classifier."""
    return torchvision_stem() | resnet_layers(blocks)


def clip_stem(width: int = 64) -> Shapes:
    """The three convolutions in front of CLIP's ResNet."""
    half = width // 2
    shapes: Shapes = {}
    for index, (out, channels) in enumerate(((half, 3), (half, half), (width, half)), start=1):
        shapes |= convolution(f"conv{index}", out, channels, 3) | batch_norm(f"bn{index}", out)
    return shapes


def clip_resnet(blocks: Sequence[int], width: int = 64) -> Shapes:
    """CLIP's ResNet to the last of `blocks`, without its attention pool."""
    return clip_stem(width) | resnet_layers(blocks, width)


def attention_pool(name: str, *, tokens: int, channels: int, embedding: int) -> Shapes:
    """CLIP's attention pool over `tokens` - 1 cells."""
    shapes: Shapes = {f"{name}.positional_embedding": (tokens, channels)}
    for projection in ("k_proj", "q_proj", "v_proj"):
        shapes |= linear(f"{name}.{projection}", channels, channels)
    return shapes | linear(f"{name}.c_proj", embedding, channels)


def feature_pyramid(name: str, in_channels: Sequence[int], channels: int) -> Shapes:
    """mmdet's FPN: lateral 1x1 and smoothing 3x3 convolutions with bias."""
    shapes: Shapes = {}
    for index, count in enumerate(in_channels):
        shapes |= convolution(f"{name}.lateral_convs.{index}.conv", channels, count, 1, bias=True)
    for index in range(len(in_channels)):
        shapes |= convolution(f"{name}.fpn_convs.{index}.conv", channels, channels, 3, bias=True)
    return shapes
