"""DETR's checkpoints as the official code saves them (facebookresearch/detr).

All names below the backbone are ours too; the backbone's norms are frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unidet.errors import UserError
from unidet.weights.layouts.layer_shapes import (
    Shapes,
    attention,
    convolution,
    layer_norm,
    linear,
    mlp,
    resnet,
    under,
)
from unidet.weights.layouts.layout import Layout
from unidet.weights.placeholders import Settings
from unidet.weights.read import read_entries

WIDTH, HIDDEN, LAYERS = 256, 2048, 6


def _encoder_layer(name: str) -> Shapes:
    return {
        **attention(f"{name}.self_attn", WIDTH),
        **linear(f"{name}.linear1", HIDDEN, WIDTH),
        **linear(f"{name}.linear2", WIDTH, HIDDEN),
        **layer_norm(f"{name}.norm1", WIDTH),
        **layer_norm(f"{name}.norm2", WIDTH),
    }


def _decoder_layer(name: str) -> Shapes:
    return {
        **attention(f"{name}.self_attn", WIDTH),
        **attention(f"{name}.multihead_attn", WIDTH),
        **linear(f"{name}.linear1", HIDDEN, WIDTH),
        **linear(f"{name}.linear2", WIDTH, HIDDEN),
        **layer_norm(f"{name}.norm1", WIDTH),
        **layer_norm(f"{name}.norm2", WIDTH),
        **layer_norm(f"{name}.norm3", WIDTH),
    }


def shapes() -> Shapes:
    shapes: Shapes = {}
    for layer in range(LAYERS):
        shapes |= _encoder_layer(f"transformer.encoder.layers.{layer}")
    for layer in range(LAYERS):
        shapes |= _decoder_layer(f"transformer.decoder.layers.{layer}")
    shapes |= layer_norm("transformer.decoder.norm", WIDTH)
    shapes |= linear("class_embed", None, WIDTH)
    shapes |= mlp("bbox_embed", WIDTH, WIDTH, WIDTH, 4)
    shapes |= {"query_embed.weight": (None, WIDTH)}
    shapes |= convolution("input_proj", WIDTH, 2048, 1, bias=True)
    frozen = {
        name: shape
        for name, shape in resnet((3, 4, 6, 3)).items()
        if not name.endswith("num_batches_tracked")
    }
    return shapes | under("backbone.0.body.", frozen)


R50 = Layout(
    name="detr_r50",
    network="detr_r50",
    summary="DETR with ResNet-50, names of the official code",
    shapes=shapes,
    renames=((r"^backbone\.0\.body\.", "backbone."),),
)


def refuse_dilated(path: Path) -> None:
    """UserError where weights under the names and shapes of DETR R50 are DETR-DC5's.

    They differ only in how the backbone's last stage is computed, with a dilation in place of its
    stride. Trainers save the option `--dilation`; released files are told by their names.
    """
    entries = read_entries(path)
    options = entries.get("args") if isinstance(entries, Mapping) else None
    if isinstance(options, Settings):
        options = getattr(options, "options", None)
    is_dilated = isinstance(options, Mapping) and options.get("dilation") is True
    if is_dilated or "dc5" in path.name.lower():
        raise UserError(
            "is DETR-DC5, whose weights have the names and shapes of DETR R50's but belong to a "
            "backbone with a dilated last stage, which is no network of this program; DETR R50's "
            "are read (docs/weights.md)"
        )
