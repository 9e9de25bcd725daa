"""Convolutions with batch norm in inference, with filters that are packed once and cached.

Sums may be in a different order than in training (Winograd, branches whose filters are added). This
changes results by 1e-6 of a map's values, so a network must enable it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.folded import norms_below
from unidet.ops import blocked_inference, onednn
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_inference import Filters, norm_factors, pack_depthwise_filters, pack_filters
from unidet.ops.blocked_maps import is_blocked
from unidet.ops.recording import Recording, memory_for

MOST_RECORDINGS = 32
"""So many shapes of images are kept; the memory of their maps is shared."""

Normed = tuple[nn.Module, BatchNorm2d]
"""A convolution without bias and the norm after it."""


def pack_for_inference(module: nn.Module) -> None:
    """Enable packed filters before all norms below `module`, for blocked maps without gradients."""
    for norm in norms_below(module):
        norm.packs = True


def packs(norm: BatchNorm2d) -> bool:
    """Whether the filters before the norm can be packed in the current mode."""
    return bool(norm.packs and jt.flags.no_grad and not norm.is_train)


def convolve_packed(
    feats: jt.Var,
    *branches: Normed,
    slope: float = 1.0,
    silu: bool = False,
    residual: jt.Var | None = None,
    residual_last: bool = False,
) -> jt.Var:
    """Sum of parallel convolutions with norm of `feats` (a blocked map or an image), blocked.

    The first branch has the largest filters; those of the others are centred in them. See
    `ops.blocked_inference.convolve` for the other arguments.
    """
    filters = _kept(branches, image=not is_blocked(feats))
    return blocked_inference.convolve(
        feats, filters, slope=slope, silu=silu, residual=residual, residual_last=residual_last
    )


def depthwise_packed(feats: jt.Var, normed: Normed) -> jt.Var:
    """norm(convolution(feats)) of a blocked map, for a depthwise convolution."""
    return blocked_inference.convolve(feats, _kept((normed,)), slope=normed[1].slope)


def convolve_bias_packed(feats: jt.Var, convolution: nn.Conv) -> jt.Var:
    """convolution(feats) of a recorded map, whose recording keeps the packed filters."""
    weight, stride, padding = convolution.weight, convolution.stride[0], convolution.padding[0]
    ones = jt.ones_like(convolution.bias)
    filters = pack_filters(weight, ones, convolution.bias, stride=stride, padding=padding)
    return blocked_inference.convolve(feats, filters)


def _kept(branches: tuple[Normed, ...], image: bool = False) -> Filters:
    """Packed filters of the branches, from a cache that is valid while all parameters are the same
    variables.
    """
    sources = [variable for pair in branches for variable in _variables(*pair)]
    numbers = [variable.id for variable in sources]
    first = branches[0][1]
    if first.packed is None or first.packed[0] != numbers:
        first.packed = numbers, _packed(branches, image)
    return first.packed[1]


def _variables(convolution: nn.Module, norm: BatchNorm2d) -> tuple[jt.Var, ...]:
    return convolution.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var


def _packed(branches: tuple[Normed, ...], image: bool) -> Filters:
    (convolution, norm), *others = branches
    weight, (scale, shift) = convolution.weight, norm_factors(norm)
    if others:
        weight, scale = weight * scale.reshape((-1, 1, 1, 1)), jt.ones_like(scale)
    for other, other_norm in others:
        factor, added = norm_factors(other_norm)
        margin = (weight.shape[2] - other.weight.shape[2]) // 2
        filters = other.weight * factor.reshape((-1, 1, 1, 1))
        weight, shift = weight + nn.pad(filters, [margin] * 4), shift + added
    if not isinstance(convolution, nn.Conv):
        before, after = convolution.padding
        stride = convolution.stride
        return pack_depthwise_filters(
            weight, scale, shift, stride=stride, before=before, after=after
        )
    stride, padding = convolution.stride[0], convolution.padding[0]
    return pack_filters(weight, scale, shift, stride=stride, padding=padding, image=image)


class RecordedNetwork:
    """Repeats a network's kernels without Jittor, recorded once for each shape of its images.

    They are recorded again when a parameter has changed. Recordings of all shapes share the memory
    of the largest.

    Args:
        modules: all that it uses.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._variables = [
            (names, name)
            for module in modules
            for part in module.modules()
            for names in [vars(part)]
            for name, value in names.items()
            if isinstance(value, jt.Var)
        ]
        self._ids: list[int] = []
        self._recordings: dict[tuple[int, ...], Recording] = {}
        self._memory = memory_for(0)
        self._lock = Lock()

    def __call__(self, forward: Callable[[Any], Any], images_NCHW: np.ndarray) -> jt.Var:
        """forward(images) of float32 images (N, 3, H, W), where gradients are switched off.

        Args:
            forward: the same function in every call. It may use packed filters and other kernels of
                ours alone.
        """
        with self._lock:
            ids = [names[name].id for names, name in self._variables]
            if ids != self._ids:
                self._recordings.clear()
                self._ids = ids
            if images_NCHW.shape not in self._recordings:
                self._record(forward, images_NCHW.shape)
            return jt.array(self._recordings[images_NCHW.shape].repeat(images_NCHW))

    def _record(self, forward: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
        recording = Recording(onednn.load(), shape)
        recording.lay_out(forward(recording.input))
        if recording.numbers > self._memory.size:
            self._recordings.clear()  # they refer to the memory there was
            self._memory = memory_for(0)
            self._memory = memory_for(recording.numbers)
        while len(self._recordings) >= MOST_RECORDINGS:
            del self._recordings[next(iter(self._recordings))]
        recording.settle(self._memory)
        self._recordings[shape] = recording
