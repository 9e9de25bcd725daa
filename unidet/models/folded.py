"""Makes batch norms that were folded into convolutions trainable again.

A folded norm has mean 0 and variance 1 and only adds a bias. In training, the statistics of the
batch would replace them and change all outputs. Here the norm gets the mean and variance of its
inputs as running statistics, and a weight and bias that compensate them. It then computes the same
as before, and nearly the same in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.batch_norm import BatchNorm2d


def norms_below(module: nn.Module) -> list[BatchNorm2d]:
    """All `BatchNorm2d` below `module`."""
    return [child for child in module.modules() if isinstance(child, BatchNorm2d)]


def is_folded(module: nn.Module) -> bool:
    """Whether all batch norms below `module` still have their initial statistics."""
    return all(
        (norm.running_mean.numpy() == 0).all() and (norm.running_var.numpy() == 1).all()
        for norm in norms_below(module)
    )


def unfold(
    module: nn.Module, forward: Callable[[jt.Var], object], batches: Iterable[np.ndarray]
) -> None:
    """Set the running statistics of the norms below `module` to those of their inputs.

    Weights and biases are changed so that no output changes.

    Args:
        module: its batch norms use running statistics.
        forward: runs the module; it must call each norm once.
        batches: images (N, 3, H, W), in batches of about the same size.
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
    """Collects mean and variance of a norm's inputs, (C,) float64 per batch."""

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
    """Change the running statistics and keep the resulting scale and shift."""
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, old_mean, old_variance = (getattr(norm, name).numpy() for name in names)
    scale = weight / np.sqrt(old_variance.astype(np.float64) + norm.eps)
    shift = bias - old_mean * scale
    norm.weight.update(jt.array((scale * np.sqrt(variance + norm.eps)).astype(np.float32)))
    norm.bias.update(jt.array((shift + scale * mean).astype(np.float32)))
    norm.running_mean.update(jt.array(mean.astype(np.float32)).stop_grad())
    norm.running_var.update(jt.array(variance.astype(np.float32)).stop_grad())
