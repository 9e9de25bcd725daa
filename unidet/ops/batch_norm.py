"""Batch normalization with PyTorch's semantics, fast on a CPU.

Jittor's own batch norm uses generic reductions and stores the input of a following ReLU, which
takes much of a training step. Here one kernel reads each channel once for its mean and variance,
and again, while it is in cache, to normalize it. N: images, C: channels, H, W: cells.
"""

from __future__ import annotations

from typing import Any

import jittor as jt
from jittor import nn

from unidet.ops import batch_norm_cuda
from unidet.ops.kernels import Kernel, run

_HEADER = "#include <algorithm>\n#include <cmath>\n"

_FORWARD = r"""
const int images = in0_shape0, channels = in0_shape1, cells = in0_shape2 * in0_shape3;
const double eps = data["eps"], count = (double)images * cells;
const bool frozen = data["frozen"] != 0;
const float slope = data["slope"];
#pragma omp parallel for
for (int c = 0; c < channels; c++) {
    double mean = 0, spread = 0;  // spread: sum of squared distances from the mean so far
    for (int n = 0; n < images && !frozen; n++) {
        const float* row = in0_p + ((size_t)n * channels + c) * cells;
        float sum = 0, squares = 0;
        for (int i = 0; i < cells; i++) sum += row[i];
        const float centre = sum / cells;
        for (int i = 0; i < cells; i++) squares += (row[i] - centre) * (row[i] - centre);
        const double gap = centre - mean;
        spread += squares + gap * gap * cells * n / (n + 1);
        mean += gap / (n + 1);
    }
    out1_p[c] = frozen ? in3_p[c] : mean;
    out2_p[c] = frozen ? in4_p[c] : spread / count;
    const float scale = in1_p[c] / std::sqrt(out2_p[c] + eps);
    const float shift = in2_p[c] - out1_p[c] * scale;
    for (int n = 0; n < images; n++) {
        const size_t start = ((size_t)n * channels + c) * cells;
        for (int i = 0; i < cells; i++) {
            const float value = in0_p[start + i] * scale + shift;
            out0_p[start + i] = std::max(value, value * slope);
        }
    }
}
"""

_BACKWARD = r"""
const int images = in0_shape0, channels = in0_shape1, cells = in0_shape2 * in0_shape3;
const double eps = data["eps"], count = (double)images * cells;
const bool frozen = data["frozen"] != 0;
const float slope = data["slope"];
#pragma omp parallel for
for (int c = 0; c < channels; c++) {
    const float mean = in3_p[c], inverse = 1 / std::sqrt(in4_p[c] + eps);
    const float scale = in2_p[c] * inverse;
    const float shift = in5_p[c] - mean * scale;
    double grad_sum = 0, product_sum = 0;
    for (int n = 0; n < images; n++) {
        const size_t start = ((size_t)n * channels + c) * cells;
        float grads = 0, products = 0;
        for (int i = 0; i < cells; i++) {
            const float x = in0_p[start + i];
            const float grad = in1_p[start + i] * (x * scale + shift > 0 ? 1 : slope);
            grads += grad;
            products += grad * (x - mean);
        }
        grad_sum += grads;
        product_sum += products;
    }
    out1_p[c] = product_sum * inverse;
    out2_p[c] = grad_sum;
    const float offset = frozen ? 0 : grad_sum / count;
    const float tilt = frozen ? 0 : product_sum / count * inverse * inverse;
    for (int n = 0; n < images; n++) {
        const size_t start = ((size_t)n * channels + c) * cells;
        for (int i = 0; i < cells; i++) {
            const float x = in0_p[start + i];
            const float grad = in1_p[start + i] * (x * scale + shift > 0 ? 1 : slope);
            out0_p[start + i] = scale * (grad - offset - (x - mean) * tilt);
        }
    }
}
"""


class _BatchNorm(jt.Function):
    """The compiled kernels.

    Attributes:
        mean, variance: (C,), used in the last call; the variance is biased.
    """

    def __init__(self, eps: float, frozen: bool, slope: float) -> None:
        super().__init__()
        self.values = {"eps": eps, "frozen": float(frozen), "slope": slope}

    def execute(
        self, x: jt.Var, weight: jt.Var, bias: jt.Var, mean: jt.Var, variance: jt.Var
    ) -> jt.Var:
        inputs = x, weight, bias, mean, variance
        y, self.mean, self.variance = self._run(_FORWARD, batch_norm_cuda.FORWARD, *inputs)
        self.saved = x, weight, bias
        return y

    def grad(self, grad: jt.Var) -> tuple[jt.Var | None, ...]:
        x, weight, bias = self.saved
        saved = x, grad, weight, self.mean, self.variance, bias
        grads = self._run(_BACKWARD, batch_norm_cuda.BACKWARD, *saved)
        return (*grads, None, None)

    def _run(self, cpu: str, cuda: str, x: jt.Var, *others: jt.Var) -> list[jt.Var]:
        channels = x.shape[1]
        shapes = [x.shape, (channels,), (channels,)]
        if jt.flags.use_cuda:
            shapes.append((channels, batch_norm_cuda.SPLITS, 2))
        return run(
            shapes,
            ["float32"] * len(shapes),
            [x, *others],
            cpu=Kernel(cpu, _HEADER),
            cuda=Kernel(cuda, batch_norm_cuda.HEADER),
            values=self.values,
        )[:3]


def _mean_over_ranks(value: jt.Var) -> jt.Var:
    """Mean over all processes of a data-parallel run; `value` itself in a single process."""
    return value.mpi_all_reduce("mean") if jt.in_mpi else value


class BatchNorm2d(nn.Module):
    """Batch normalization of (N, C, H, W), followed by max(y, leak * y) if `relu`.

    While `is_train` is true, the layer normalizes with the mean and the biased variance of the
    batch and updates `running_var` with the unbiased variance, as PyTorch does. Otherwise it
    normalizes with the running statistics; `weight` and `bias` still receive gradients. In a
    data-parallel run, mean and variance are taken over the batches of all processes.

    Attributes:
        packs: whether inference packs the filters of the preceding convolution, see
            `models.inference`.
        packed: those packed filters.
    """

    def __init__(
        self,
        channels: int,
        *,
        relu: bool = False,
        leak: float = 0.0,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.weight = jt.ones((channels,))
        self.bias = jt.zeros((channels,))
        self.running_mean = jt.zeros((channels,)).stop_grad()
        self.running_var = jt.ones((channels,)).stop_grad()
        self.is_train = True
        self.slope = leak if relu else 1.0
        self.packs = False
        self.packed: Any = None
        self.eps, self.momentum = eps, momentum

    def execute(self, x: jt.Var) -> jt.Var:
        """x normalized.

        ValueError where it has other channels or is no plain map, and in training where a channel
        has a single value.
        """
        channels = self.weight.shape[0]
        if len(x.shape) != 4 or x.shape[1] != channels:
            raise ValueError(f"batch norm of {channels} channels takes (N,C,H,W), not {x.shape}")
        count = x.numel() // channels
        if self.is_train and count < 2:
            raise ValueError(f"batch norm cannot train on one value per channel, x is {x.shape}")
        normalize = self._by_tensor_operations if jt.in_mpi else self._by_kernel
        y, mean, variance = normalize(x)
        if self.is_train:
            count *= jt.world_size if jt.in_mpi else 1
            self._update(self.running_mean, mean)
            self._update(self.running_var, variance * (count / (count - 1)))
        return y

    def on_running_statistics(self) -> tuple[jt.Var, jt.Var]:
        """Scale and shift, (C,) each, equivalent to normalizing with the running statistics.

        Gradients reach `weight` and `bias`.
        """
        scale = self.weight / jt.sqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def _update(self, running: jt.Var, value: jt.Var) -> None:
        running.update(running + (value.detach() - running) * self.momentum)

    def _by_kernel(self, x: jt.Var) -> tuple[jt.Var, jt.Var, jt.Var]:
        norm = _BatchNorm(self.eps, not self.is_train, self.slope)
        y = norm(x.float32(), self.weight, self.bias, self.running_mean, self.running_var)
        return y, norm.mean, norm.variance

    def _by_tensor_operations(self, x: jt.Var) -> tuple[jt.Var, jt.Var, jt.Var]:
        dims = [0, 2, 3]
        mean, variance = self.running_mean, self.running_var
        if self.is_train:
            mean = _mean_over_ranks(x.mean(dims=dims))
            centred = x - mean.broadcast(x, dims)
            variance = _mean_over_ranks((centred * centred).mean(dims=dims))
        scale = self.weight / jt.sqrt(variance + self.eps)
        shift = self.bias - mean * scale
        y = x * scale.broadcast(x, dims) + shift.broadcast(x, dims)
        return y if self.slope == 1.0 else nn.leaky_relu(y, self.slope), mean, variance
