"""NanoDet-Plus' checkpoints as the official trainer exports them (RangiLyu/nanodet).

The auxiliary neck and head, which only training needs, may be absent. Ours are named by what a
layer does: an official `branch2.3` is `main.1.conv`.
"""

from __future__ import annotations

from functools import partial

from unidet.weights.layouts.layer_shapes import Shapes, batch_norm, convolution, layer_norm, under
from unidet.weights.layouts.layout import Layout

BLOCKS = (4, 8, 4)
LEVELS = 4
BINS = 8
AUXILIARY = ("aux_fpn.*", "aux_head.*")
PROJECT = "head.distribution_project.project"
"""A constant, 0 to 7, that official checkpoints hold."""


def _normed(conv: str, norm: str, out: int, channels: int, size: int = 1) -> Shapes:
    return convolution(conv, out, channels, size) | batch_norm(norm, out)


def shufflenet(widths: tuple[int, ...]) -> Shapes:
    """ShuffleNetV2 to its last stage; torchvision has the same names."""
    shapes = _normed("conv1.0", "conv1.1", widths[0], 3, 3)
    for stage, count in enumerate(BLOCKS):
        channels, half = widths[stage], widths[stage + 1] // 2
        for block in range(count):
            name = f"stage{stage + 2}.{block}"
            if block == 0:
                shapes |= _normed(f"{name}.branch1.0", f"{name}.branch1.1", channels, 1, 3)
                shapes |= _normed(f"{name}.branch1.2", f"{name}.branch1.3", half, channels)
            inside = channels if block == 0 else half
            shapes |= _normed(f"{name}.branch2.0", f"{name}.branch2.1", half, inside)
            shapes |= _normed(f"{name}.branch2.3", f"{name}.branch2.4", half, 1, 3)
            shapes |= _normed(f"{name}.branch2.5", f"{name}.branch2.6", half, half)
    return shapes


def _separable(name: str, channels: int) -> Shapes:
    return {
        **convolution(f"{name}.depthwise", channels, 1, 5),
        **convolution(f"{name}.pointwise", channels, channels, 1),
        **batch_norm(f"{name}.dwnorm", channels),
        **batch_norm(f"{name}.pwnorm", channels),
    }


def _ghost_block(name: str, channels: int) -> Shapes:
    half, doubled = channels // 2, 2 * channels
    shapes: Shapes = {}
    for ghost, inside in (("ghost1", doubled), ("ghost2", channels)):
        first, second = f"{name}.{ghost}.primary_conv", f"{name}.{ghost}.cheap_operation"
        shapes |= _normed(f"{first}.0", f"{first}.1", half, inside)
        shapes |= _normed(f"{second}.0", f"{second}.1", half, 1, 3)
    name = f"{name}.shortcut"
    shapes |= _normed(f"{name}.0", f"{name}.1", doubled, 1, 5)
    return shapes | _normed(f"{name}.2", f"{name}.3", channels, doubled)


def _neck(name: str, widths: tuple[int, ...], channels: int) -> Shapes:
    shapes: Shapes = {}
    for level, width in enumerate(widths[1:]):
        layer = f"{name}.reduce_layers.{level}"
        shapes |= _normed(f"{layer}.conv", f"{layer}.bn", channels, width)
    for index in range(2):
        shapes |= _ghost_block(f"{name}.top_down_blocks.{index}.blocks.0", channels)
    for index in range(2):
        shapes |= _separable(f"{name}.downsamples.{index}", channels)
    for index in range(2):
        shapes |= _ghost_block(f"{name}.bottom_up_blocks.{index}.blocks.0", channels)
    shapes |= _separable(f"{name}.extra_lvl_in_conv.0", channels)
    return shapes | _separable(f"{name}.extra_lvl_out_conv.0", channels)


def _head(channels: int) -> Shapes:
    shapes: Shapes = {PROJECT: (BINS,)}
    for level in range(LEVELS):
        for index in range(2):
            shapes |= _separable(f"head.cls_convs.{level}.{index}", channels)
    for level in range(LEVELS):
        shapes |= convolution(f"head.gfl_cls.{level}", None, channels, 1, bias=True)
    return shapes


def _auxiliary_head(channels: int) -> Shapes:
    shapes: Shapes = {}
    for tower in ("cls_convs", "reg_convs"):
        for index in range(4):
            shapes |= convolution(f"aux_head.{tower}.{index}.conv", channels, channels, 3)
            shapes |= layer_norm(f"aux_head.{tower}.{index}.gn", channels)
    shapes |= convolution("aux_head.gfl_cls", None, channels, 3, bias=True)
    shapes |= convolution("aux_head.gfl_reg", 4 * BINS, channels, 3, bias=True)
    return shapes | {f"aux_head.scales.{level}.scale": () for level in range(LEVELS)}


def shapes(widths: tuple[int, ...], channels: int) -> Shapes:
    """Of a network with these backbone widths and neck channels, for any number of classes."""
    return {
        **under("backbone.", shufflenet(widths)),
        **_neck("fpn", widths, channels),
        **_head(channels),
        **_neck("aux_fpn", widths, channels),
        **_auxiliary_head(2 * channels),
    }


RENAMES = (
    (r"\.top_down_blocks\.(\d)\.blocks\.0\.", r".top_down.\1."),
    (r"\.bottom_up_blocks\.(\d)\.blocks\.0\.", r".bottom_up.\1."),
    (r"\.branch1\.", ".shortcut."),
    (r"\.shortcut\.1\.", ".shortcut.0.norm."),
    (r"\.shortcut\.0\.(?!norm)", ".shortcut.0.conv."),
    (r"\.shortcut\.2\.", ".shortcut.1.conv."),
    (r"\.shortcut\.3\.", ".shortcut.1.norm."),
    (r"\.branch2\.0\.", ".main.0.conv."),
    (r"\.branch2\.1\.", ".main.0.norm."),
    (r"\.branch2\.3\.", ".main.1.conv."),
    (r"\.branch2\.4\.", ".main.1.norm."),
    (r"\.branch2\.5\.", ".main.2.conv."),
    (r"\.branch2\.6\.", ".main.2.norm."),
    (r"^(backbone\.|)conv1\.", r"\1stem."),
    (r"\.primary_conv\.", ".primary."),
    (r"\.cheap_operation\.", ".cheap."),
    (r"\b(stem|primary|cheap)\.0\.", r"\1.conv."),
    (r"\b(stem|primary|cheap)\.1\.", r"\1.norm."),
    (r"\.reduce_layers\.", ".reduce."),
    (r"\.downsamples\.", ".downsample."),
    (r"\.extra_lvl_(in|out)_conv\.0\.", r".extra_\1."),
    (r"\.depthwise\.", ".0.conv."),
    (r"\.dwnorm\.", ".0.norm."),
    (r"\.pointwise\.", ".1.conv."),
    (r"\.pwnorm\.", ".1.norm."),
    (r"\.(bn|gn)\.", ".norm."),
    (r"^head\.cls_convs\.", "head.towers."),
    (r"^head\.gfl_cls\.", "head.predict."),
    (r"^aux_head\.cls_convs\.", "aux_head.class_tower."),
    (r"^aux_head\.reg_convs\.", "aux_head.side_tower."),
    (r"^aux_head\.gfl_cls\.", "aux_head.predict_classes."),
    (r"^aux_head\.gfl_reg\.", "aux_head.predict_sides."),
)


def _layout(name: str, network: str, widths: tuple[int, ...], channels: int) -> Layout:
    return Layout(
        name=name,
        network=network,
        summary=f"NanoDet-Plus with {channels} channels, names of the official trainer",
        shapes=partial(shapes, widths, channels),
        renames=RENAMES,
        kept=(PROJECT,),
        optional=AUXILIARY,
    )


M = _layout("nanodet_plus_m", "nanodet_plus_m_416", (24, 116, 232, 464), 96)
M_1_5X = _layout("nanodet_plus_m_1_5x", "nanodet_plus_m_1_5x_416", (24, 176, 352, 704), 128)
