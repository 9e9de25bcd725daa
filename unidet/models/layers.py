"""Shared parts of convolutional networks: layers, freezing, modes, initialization."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jittor as jt
from jittor import nn

from unidet.models.inference import convolve_bias_packed, convolve_packed, packs
from unidet.ops.activation import relu, silu
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_inference import flatten_cells
from unidet.ops.blocked_maps import LANES, convolve, in_layout_of, is_blocked, to_plain
from unidet.ops.depthwise_conv import depthwise_conv
from unidet.ops.pointwise_conv import pointwise_conv
from unidet.ops.recording import Recorded

Activation = Callable[[jt.Var], jt.Var]
"""`relu` or `silu`."""


class LastLayer(NamedTuple):
    """A backbone's layer 4 for regions: (N, C', H, W) to (N, channels, H / stride, W / stride)."""

    layer: nn.Module
    channels: int
    stride: int


class DepthwiseConv(nn.Module):
    """One `kernel` x `kernel` filter per channel; `padding`: zeros (before, after) on each axis."""

    def __init__(self, channels: int, kernel: int, stride: int, padding: tuple[int, int]) -> None:
        super().__init__()
        self.stride = stride
        self.padding = padding
        self.weight = jt.init.gauss((channels, 1, kernel, kernel), "float32", 0.0, 2**0.5 / kernel)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        """(N, C, H, W) to (N, C, H / stride, W / stride)."""
        return depthwise_conv(feats_NCHW, self.weight, self.stride, *self.padding)


class PointwiseConv(nn.Conv):
    """A 1 x 1 convolution that is faster on a CPU than Jittor's."""

    def __init__(self, in_channels: int, channels: int, *, bias: bool = True) -> None:
        super().__init__(in_channels, channels, 1, bias=bias)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        """(N, in_channels, H, W) to (N, channels, H, W)."""
        mapped = pointwise_conv(feats_NCHW, self.weight)
        return mapped if self.bias is None else mapped + self.bias.broadcast(mapped, [0, 2, 3])


def convolve_normalize(
    feats: jt.Var,
    convolution: nn.Conv,
    norm: BatchNorm2d,
    *,
    residual: jt.Var | None = None,
    added: jt.Var | None = None,
    activation: Activation | None = None,
    blocks: bool = False,
) -> jt.Var:
    """activation(norm(convolution(feats)) + residual) + added.

    One kernel computes this if `feats` are blocked and the norm uses running statistics; otherwise
    maps become plain. `blocks`: return a blocked map for an image. At most one of `residual` and
    `added` may be given.
    """
    if norm.is_train or not (blocks or is_blocked(feats)):
        result = norm(convolution(to_plain(feats)))
        result = result if residual is None else result + to_plain(residual)
        result = result if activation is None else activation(result)
        return result if added is None else result + to_plain(added)
    slope = 0.0 if activation is relu else norm.slope
    if packs(norm):
        other = added if residual is None else residual
        return convolve_packed(
            feats,
            (convolution, norm),
            slope=slope,
            silu=activation is silu,
            residual=other,
            residual_last=added is not None,
        )
    result = fused(feats, convolution, norm, slope, residual)
    result = silu(result) if activation is silu else result
    return result if added is None else result + added


def fused(
    feats: jt.Var, convolution: nn.Conv, norm: BatchNorm2d, slope: float, residual: jt.Var | None
) -> jt.Var:
    """Convolution, norm, residual and activation in one kernel, to a blocked map, with gradients.

    `feats` is a blocked map or an image.
    """
    scale, shift = norm.on_running_statistics()
    return convolve(
        feats,
        convolution.weight,
        shift,
        scale_O=scale,
        stride=convolution.stride[0],
        padding=convolution.padding[0],
        slope=slope,
        residual=residual,
    )


def convolve_bias(
    feats: jt.Var, convolution: nn.Conv, *, clamp: bool = False, residual: jt.Var | None = None
) -> jt.Var:
    """convolution(feats) + residual, then ReLU if `clamp`.

    The result is blocked if `feats` is and the number of filters is a multiple of LANES. The
    residual may have the other layout.
    """
    filters = convolution.weight.shape[0]
    whole = filters % LANES == 0
    if not is_blocked(feats) or (residual is not None and not whole):
        result = convolution(to_plain(feats))
        result = result if residual is None else result + to_plain(residual)
        return nn.relu(result) if clamp else result
    result = convolve(
        feats,
        convolution.weight,
        convolution.bias,
        stride=convolution.stride[0],
        padding=convolution.padding[0],
        slope=0.0 if clamp else 1.0,
        residual=None if residual is None else in_layout_of(residual, feats),
    )
    return result if whole else to_plain(result)[:, :filters]


def predict_cells(feats: jt.Var, convolution: nn.Conv) -> jt.Var:
    """convolution(feats), cell by cell: (N, H * W, O). Also of recorded maps."""
    if not isinstance(feats, Recorded):
        return flat_cells(convolve_bias(feats, convolution))
    return flatten_cells(convolve_bias_packed(feats, convolution), convolution.weight.shape[0])


def flat_cells(level: jt.Var) -> jt.Var:
    """(N, C, H, W), or a blocked map without padding channels, -> (N, H * W, C), row by row."""
    count, channels = level.shape[:2]
    if is_blocked(level):
        return level.permute(0, 2, 3, 1, 4).reshape((count, -1, channels * LANES))
    return level.permute(0, 2, 3, 1).reshape((count, -1, channels))


def set_batch_norm_training(module: nn.Module, training: bool) -> None:
    """Use batch statistics (True) or running ones (False) below `module`; gradients stay on.

    `Module.eval()` would also stop all gradients. In the official setting, batch norms use running
    statistics while their weights and biases are trained.
    """
    for child in module.modules():
        if isinstance(child, BatchNorm2d):
            child.is_train = training


def freeze(modules: Iterable[nn.Module]) -> None:
    """Stop the gradients of all parameters below `modules`; batch norms use running statistics."""
    for module in modules:
        set_batch_norm_training(module, False)
        for parameter in module.parameters():
            parameter.stop_grad()


def freeze_batch_norm(module: nn.Module) -> None:
    """Freeze all batch norms below `module`: running statistics, no gradients."""
    freeze(child for child in module.modules() if isinstance(child, BatchNorm2d))


def initialize_convolutions(module: nn.Module) -> None:
    """He's normal initialization by fan-out, as in torchvision; biases are 0."""
    for child in module.modules():
        if isinstance(child, nn.Conv):
            jt.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
            if child.bias is not None:
                jt.init.constant_(child.bias, 0.0)
