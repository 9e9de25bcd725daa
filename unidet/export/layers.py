"""Symbolic versions of the layers of networks. Their parameters are symbols as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jittor import nn

from unidet.export.functions import leaky_relu, linear
from unidet.export.symbol import Symbol
from unidet.models.layers import DepthwiseConv, PointwiseConv
from unidet.models.transformer_layers import LayerNorm
from unidet.ops.batch_norm import BatchNorm2d


def _conv(
    feats_NCHW: Symbol,
    layer: Any,
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    groups: int,
) -> Symbol:
    """`pads`: number of zeros at the top, left, bottom and right."""
    count, _, *sides = feats_NCHW.shape
    kernel = layer.weight.shape[2:]
    cells = [
        (side + pads[axis] + pads[axis + 2] - dilations[axis] * (kernel[axis] - 1) - 1)
        // strides[axis]
        + 1
        for axis, side in enumerate(sides)
    ]
    bias = getattr(layer, "bias", None)
    return feats_NCHW.node(
        "Conv",
        layer.weight,
        *([] if bias is None else [bias]),
        shape=[count, layer.weight.shape[0], *cells],
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=list(pads),
        dilations=list(dilations),
        group=groups,
    )


def _full_conv(layer: nn.Conv, feats_NCHW: Symbol) -> Symbol:
    top, left = layer.padding
    return _conv(
        feats_NCHW, layer, layer.stride, (top, left, top, left), layer.dilation, layer.groups
    )


def _depthwise_conv(layer: DepthwiseConv, feats_NCHW: Symbol) -> Symbol:
    before, after = layer.padding
    pads = (before, before, after, after)
    return _conv(feats_NCHW, layer, (layer.stride,) * 2, pads, (1, 1), feats_NCHW.shape[1])


def _batch_norm(layer: BatchNorm2d, feats_NCHW: Symbol) -> Symbol:
    """Uses running statistics."""
    statistics = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    normalized = feats_NCHW.node(
        "BatchNormalization", *statistics, shape=feats_NCHW.shape, epsilon=layer.eps
    )
    if layer.slope == 1:
        return normalized
    if layer.slope == 0:
        return normalized.node("Relu", shape=normalized.shape)
    return leaky_relu(normalized, layer.slope)


def _layer_norm(layer: LayerNorm, value: Symbol) -> Symbol:
    return value.node(
        "LayerNormalization",
        layer.weight,
        layer.bias,
        shape=value.shape,
        axis=-1,
        epsilon=layer.eps,
    )


LAYERS: dict[type, Callable[..., Symbol]] = {
    nn.Conv: _full_conv,
    PointwiseConv: _full_conv,
    DepthwiseConv: _depthwise_conv,
    BatchNorm2d: _batch_norm,
    LayerNorm: _layer_norm,
    nn.Linear: lambda layer, value: linear(value, layer.weight, layer.bias),
}
"""Type of a module -> its symbolic version, called with the module and its arguments. Modules that
are not listed run their own code."""
