"""RT-DETR's checkpoints as the official PyTorch code saves them (lyuwenyu/RT-DETR), and the
ImageNet backbones that its training starts from.

Our encoder and decoder have the official names; the backbone has torchvision's.
"""

from __future__ import annotations

import re
from functools import partial

from unidet.weights.layouts.layer_shapes import (
    Shapes,
    attention,
    batch_norm,
    convolution,
    layer_norm,
    linear,
    mlp,
    under,
)
from unidet.weights.layouts.layout import Layout

LEVELS = 3
WIDTH = 256
SAMPLES = 8 * LEVELS * 4
BRANCHES = "abc"
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Of the backbone of each depth."""


def _normed(name: str, out: int, channels: int, size: int, *, counted: bool = True) -> Shapes:
    norm = batch_norm(f"{name}.norm", out, counted=counted)
    return convolution(f"{name}.conv", out, channels, size) | norm


def _backbone(blocks: tuple[int, ...], expansion: int, counted: bool) -> Shapes:
    shapes: Shapes = {}
    for index, (out, channels) in enumerate(((32, 3), (32, 32), (64, 32)), start=1):
        shapes |= _normed(f"conv1.conv1_{index}", out, channels, 3, counted=counted)
    channels = 64
    for stage, count in enumerate(blocks):
        inner = 64 * 2**stage
        for block in range(count):
            name = f"res_layers.{stage}.blocks.{block}"
            short = _shortcut(name, stage, inner * expansion, channels, counted)
            sizes = (3, 3) if expansion == 1 else (1, 3, 1)
            outs = (inner,) * (len(sizes) - 1) + (inner * expansion,)
            branches: Shapes = {}
            for branch, size, out in zip(BRANCHES, sizes, outs, strict=False):
                branches |= _normed(f"{name}.branch2{branch}", out, channels, size, counted=counted)
                channels = out
            if block == 0:
                shapes |= short | branches if expansion == 1 else branches | short
            else:
                shapes |= branches
    return shapes


def _shortcut(name: str, stage: int, out: int, channels: int, counted: bool) -> Shapes:
    """A pool in front, where there is one, moves the convolution one level down."""
    short = f"{name}.short" if stage == 0 else f"{name}.short.conv"
    return _normed(short, out, channels, 1, counted=counted)


def _encoder(expansion: int, width: int, inner: int, hidden: int) -> Shapes:
    shapes: Shapes = {}
    for level in range(LEVELS):
        name = f"input_proj.{level}"
        shapes |= convolution(f"{name}.0", width, 128 * 2**level * expansion, 1)
        shapes |= batch_norm(f"{name}.1", width)
    name = "encoder.0.layers.0"
    shapes |= attention(f"{name}.self_attn", width)
    shapes |= linear(f"{name}.linear1", hidden, width) | linear(f"{name}.linear2", width, hidden)
    shapes |= layer_norm(f"{name}.norm1", width) | layer_norm(f"{name}.norm2", width)
    for index in range(LEVELS - 1):
        shapes |= _normed(f"lateral_convs.{index}", width, width, 1)
    for index in range(LEVELS - 1):
        shapes |= _stage(f"fpn_blocks.{index}", width, inner)
    for index in range(LEVELS - 1):
        shapes |= _normed(f"downsample_convs.{index}", width, width, 3)
    for index in range(LEVELS - 1):
        shapes |= _stage(f"pan_blocks.{index}", width, inner)
    return shapes


def _stage(name: str, width: int, inner: int) -> Shapes:
    shapes = _normed(f"{name}.conv1", inner, 2 * width, 1)
    shapes |= _normed(f"{name}.conv2", inner, 2 * width, 1)
    for block in range(3):
        shapes |= _normed(f"{name}.bottlenecks.{block}.conv1", inner, inner, 3)
        shapes |= _normed(f"{name}.bottlenecks.{block}.conv2", inner, inner, 1)
    return shapes if inner == width else shapes | _normed(f"{name}.conv3", width, inner, 1)


def _decoder(channels: int, layers: int) -> Shapes:
    shapes: Shapes = {}
    for level in range(LEVELS):
        shapes |= _normed(f"input_proj.{level}", WIDTH, channels, 1)
    for layer in range(layers):
        shapes |= _decoder_layer(f"decoder.layers.{layer}")
    shapes |= {"denoising_class_embed.weight": (None, WIDTH)}
    shapes |= mlp("query_pos_head", 4, 2 * WIDTH, WIDTH)
    shapes |= linear("enc_output.0", WIDTH, WIDTH) | layer_norm("enc_output.1", WIDTH)
    shapes |= linear("enc_score_head", None, WIDTH)
    shapes |= mlp("enc_bbox_head", WIDTH, WIDTH, WIDTH, 4)
    for layer in range(layers):
        shapes |= linear(f"dec_score_head.{layer}", None, WIDTH)
    for layer in range(layers):
        shapes |= mlp(f"dec_bbox_head.{layer}", WIDTH, WIDTH, WIDTH, 4)
    return shapes


def _decoder_layer(name: str) -> Shapes:
    return {
        **attention(f"{name}.self_attn", WIDTH),
        **layer_norm(f"{name}.norm1", WIDTH),
        **linear(f"{name}.cross_attn.sampling_offsets", 2 * SAMPLES, WIDTH),
        **linear(f"{name}.cross_attn.attention_weights", SAMPLES, WIDTH),
        **linear(f"{name}.cross_attn.value_proj", WIDTH, WIDTH),
        **linear(f"{name}.cross_attn.output_proj", WIDTH, WIDTH),
        **layer_norm(f"{name}.norm2", WIDTH),
        **linear(f"{name}.linear1", 1024, WIDTH),
        **linear(f"{name}.linear2", WIDTH, 1024),
        **layer_norm(f"{name}.norm3", WIDTH),
    }


def shapes(
    blocks: tuple[int, ...], expansion: int, encoder: tuple[int, int, int], layers: int
) -> Shapes:
    """Of a network with these backbone blocks, encoder (width, inner, hidden) and decoder layers.

    Backbones of bottlenecks have frozen norms, without `num_batches_tracked`.
    """
    return {
        **under("backbone.", _backbone(blocks, expansion, counted=expansion == 1)),
        **under("decoder.", _decoder(encoder[0], layers)),
        **under("encoder.", _encoder(expansion, *encoder)),
    }


def _branch_renames() -> tuple[tuple[str, str], ...]:
    return tuple(
        (rf"\.branch2{branch}\.{part}\.", f".{ours}{index}.")
        for index, branch in enumerate(BRANCHES, start=1)
        for part, ours in (("conv", "conv"), ("norm", "bn"))
    )


def _renames(prefix: str) -> tuple[tuple[str, str], ...]:
    """Of a backbone whose names start with `prefix`."""
    start = "^" + re.escape(prefix)
    return (
        (rf"{start}conv1\.conv1_(\d)\.conv\.", rf"{prefix}conv\1."),
        (rf"{start}conv1\.conv1_(\d)\.norm\.", rf"{prefix}bn\1."),
        *(
            (rf"{start}res_layers\.{stage}\.blocks\.", f"{prefix}layer{stage + 1}.")
            for stage in range(4)
        ),
        *_branch_renames(),
        (r"\.short\.(conv\.)?norm\.", ".downsample.1."),
        (r"\.short\.(conv\.)?conv\.", ".downsample.0."),
    )


def _layout(depth: int, expansion: int, encoder: tuple[int, int, int], layers: int) -> Layout:
    return Layout(
        name=f"rtdetr_r{depth}vd",
        network=f"rtdetr_r{depth}vd",
        summary=f"RT-DETR with ResNet-{depth}-vd, names of the official PyTorch code",
        shapes=partial(shapes, BLOCKS[depth], expansion, encoder, layers),
        renames=_renames("backbone."),
    )


LAYOUTS = (
    _layout(18, 1, (256, 128, 1024), 3),
    _layout(34, 1, (256, 128, 1024), 4),
    _layout(50, 4, (256, 256, 1024), 6),
    _layout(101, 4, (384, 384, 2048), 6),
)

BACKBONES = tuple(
    Layout(
        name=f"rtdetr_resnet{depth}vd",
        network=f"resnet{depth}vd",
        summary=f"ResNet-{depth}-vd with ImageNet weights, what RT-DETR starts from",
        shapes=partial(_backbone, blocks, 1 if depth < 50 else 4, True),
        renames=_renames(""),
    )
    for depth, blocks in BLOCKS.items()
)
