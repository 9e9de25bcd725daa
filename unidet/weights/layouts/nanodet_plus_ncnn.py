"""An ncnn export of NanoDet-Plus under the official names.

The graph holds the layers of an inference in the order in which they run, with names that depend
on the exporter, so layers are told by their order and checked by their shapes. Batch norms were
folded into the convolutions: they become a norm of mean 0 and variance 1 that adds the bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from unidet.errors import UserError
from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.nanodet_plus import BINS, BLOCKS, LEVELS, M_1_5X, PROJECT, M
from unidet.weights.ncnn import Convolution

NORM_EPS = 1e-5


def execution_order() -> Iterator[tuple[str, str | None]]:
    """Official names of every convolution and of the norm behind it; None: it has a bias."""
    yield "backbone.conv1.0", "backbone.conv1.1"
    for stage, count in enumerate(BLOCKS, start=2):
        for block in range(count):
            name = f"backbone.stage{stage}.{block}"
            if block == 0:
                yield from _numbered(f"{name}.branch1", (0, 2))
            yield from _numbered(f"{name}.branch2", (0, 3, 5))
    for level in range(3):
        yield f"fpn.reduce_layers.{level}.conv", f"fpn.reduce_layers.{level}.bn"
    for index in range(2):
        yield from _ghost_block(f"fpn.top_down_blocks.{index}.blocks.0")
    for index in range(2):
        yield from _separable(f"fpn.downsamples.{index}")
        yield from _ghost_block(f"fpn.bottom_up_blocks.{index}.blocks.0")
    yield from _separable("fpn.extra_lvl_in_conv.0")
    yield from _separable("fpn.extra_lvl_out_conv.0")
    for level in range(LEVELS):
        yield from _separable(f"head.cls_convs.{level}.0")
        yield from _separable(f"head.cls_convs.{level}.1")
        yield f"head.gfl_cls.{level}", None


def _numbered(name: str, places: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    return ((f"{name}.{place}", f"{name}.{place + 1}") for place in places)


def _separable(name: str) -> Iterator[tuple[str, str]]:
    yield f"{name}.depthwise", f"{name}.dwnorm"
    yield f"{name}.pointwise", f"{name}.pwnorm"


def _ghost_block(name: str) -> Iterator[tuple[str, str]]:
    for ghost in ("ghost1", "ghost2"):
        yield from _numbered(f"{name}.{ghost}.primary_conv", (0,))
        yield from _numbered(f"{name}.{ghost}.cheap_operation", (0,))
    yield from _numbered(f"{name}.shortcut", (0, 2))


def official_arrays(convolutions: Sequence[Convolution]) -> dict[str, np.ndarray]:
    """Arrays under the names of `nanodet_plus.M` or `M_1_5X`, without the auxiliary parts.

    Raises:
        UserError: the layers are not those of either, naming the first that differs.
    """
    order = list(execution_order())
    if len(convolutions) != len(order):
        raise UserError(
            f"has {len(convolutions)} convolutions, a NanoDet-Plus has {len(order)}; of ncnn "
            "networks, only NanoDet-Plus-m and -m-1.5x are read"
        )
    layout = M if convolutions[-1].weight.shape[1] == _width(M) else M_1_5X
    arrays = {PROJECT: np.arange(BINS, dtype=np.float32)}
    for layer, (name, norm) in zip(convolutions, order, strict=True):
        _check(layer, name, layout)
        arrays[f"{name}.weight"] = layer.weight
        if norm is None:
            arrays[f"{name}.bias"] = layer.bias
        else:
            arrays |= _unfolded(norm, layer.bias)
    return arrays


def _width(layout: Layout) -> int | None:
    return layout.expected["head.gfl_cls.0.weight"][1]


def _check(layer: Convolution, name: str, layout: Layout) -> None:
    wanted = layout.expected[f"{name}.weight"]
    if any(
        size not in (length, None) for length, size in zip(layer.weight.shape, wanted, strict=True)
    ):
        sizes = "x".join("C" if size is None else str(size) for size in wanted)
        raise UserError(
            f"layer {layer.name} has weights of {'x'.join(map(str, layer.weight.shape))}, where "
            f"{layout.name} has {sizes} ({name})"
        )


def _unfolded(norm: str, bias: np.ndarray) -> dict[str, np.ndarray]:
    """A norm that does nothing but add `bias`: its weight undoes the eps under the root."""
    return {
        f"{norm}.weight": np.full(len(bias), math.sqrt(1 + NORM_EPS), np.float32),
        f"{norm}.bias": bias,
        f"{norm}.running_mean": np.zeros(len(bias), np.float32),
        f"{norm}.running_var": np.ones(len(bias), np.float32),
    }
