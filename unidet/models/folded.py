"""Makes batch norms that were folded into convolutions trainable again.

A folded norm has mean 0 and variance 1 and adds a bias. In training the batch's own statistics take
their place, and every output changes. Given the moments of what reaches it, with a weight and a
bias that take them back, the norm computes what it did, and in training nearly the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.batch_norm import BatchNorm2d


def norms_below(module: nn.Module) -> list[BatchNorm2d]:
    """Every batch norm of ours below `module`."""
    return [child for child in module.modules() if isinstance(child, BatchNorm2d)]


def is_folded(module: nn.Module) -> bool:
    """Whether no batch norm below `module` has ever seen a value."""
    return all(
        (norm.running_mean.numpy() == 0).all() and (norm.running_var.numpy() == 1).all()
        for norm in norms_below(module)
    )


def unfold(
    module: nn.Module, forward: Callable[[jt.Var], object], batches: Iterable[np.ndarray]
) -> None:
    """Give the norms below `module` the statistics of what reaches them; no output changes.

    Args:
        module: with its batch norms on running statistics.
        forward: runs it; every norm is reached once.
        batches: images (N, 3, H, W), batches of about the same size.
    """
    norms = norms_below(module)
    reaching = [_Moments() for _ in norms]
    for norm, moments in zip(norms, reaching, strict=True):
        norm.register_pre_forward_hook(moments.see)
    with jt.no_grad():
        for images in batches:
            forward(jt.array(images))
    for norm, moments in zip(norms, reaching, strict=True):
        norm.remove_pre_forward_hook()
        _restate(norm, *moments.result())


class _Moments:
    """Notes the moments of what reaches a norm, (C,) float64 a batch."""

    def __init__(self) -> None:
        self._means: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []

    def see(self, _: nn.Module, inputs: tuple[jt.Var]) -> None:
        values = inputs[0].numpy().astype(np.float64)
        self._means.append(values.mean(axis=(0, 2, 3)))
        self._squares.append((values**2).mean(axis=(0, 2, 3)))

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and biased variance over the batches."""
        mean = np.mean(self._means, axis=0)
        return mean, np.mean(self._squares, axis=0) - mean**2


def _restate(norm: BatchNorm2d, mean: np.ndarray, variance: np.ndarray) -> None:
    """The same scale and shift, said with other statistics."""
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, old_mean, old_variance = (getattr(norm, name).numpy() for name in names)
    scale = weight / np.sqrt(old_variance.astype(np.float64) + norm.eps)
    shift = bias - old_mean * scale
    norm.weight.update(jt.array((scale * np.sqrt(variance + norm.eps)).astype(np.float32)))
    norm.bias.update(jt.array((shift + scale * mean).astype(np.float32)))
    norm.running_mean.update(jt.array(mean.astype(np.float32)).stop_grad())
    norm.running_var.update(jt.array(variance.astype(np.float32)).stop_grad())
