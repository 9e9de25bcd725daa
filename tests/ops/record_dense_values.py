"""Writes torch_dense_values.npz: PyTorch's (2.13, CPU) answers on what dense detectors add.

Run with a Python that has torch and numpy: python record_dense_values.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

random = np.random.RandomState(11)
values: dict[str, np.ndarray] = {}


def keep(name: str, loss: torch.Tensor, *leaves: torch.Tensor) -> None:
    values[name] = np.float32(loss.detach().numpy())
    for number, grad in enumerate(torch.autograd.grad(loss, leaves)):
        values[f"{name}/grad{number}"] = grad.numpy()


def given(name: str, *shape: int) -> torch.Tensor:
    values[name] = random.standard_normal(shape).astype(np.float32)
    return torch.tensor(values[name], requires_grad=True)


def record_distribution_focal() -> None:
    logits = given("bins", 6, 8)
    positions = torch.tensor([0.0, 0.25, 1.0, 3.5, 6.0, 6.9])
    weights = torch.tensor(random.rand(6).astype(np.float32))
    values.update(positions=positions.numpy(), bin_weights=weights.numpy())
    lower = positions.long()
    below = F.cross_entropy(logits, lower, reduction="none") * (lower + 1 - positions)
    above = F.cross_entropy(logits, lower + 1, reduction="none") * (positions - lower)
    keep("distribution_focal", ((below + above) * weights).sum() / 5, logits)


def record_expected_bins() -> None:
    logits = given("sides", 2, 3, 32)
    means = F.softmax(logits.reshape(2, 3, 4, 8), dim=3) @ torch.arange(8.0)
    values["expected_bins/y"] = means.detach().numpy()
    keep("expected_bins", (means * torch.tensor(DY_SIDES)).sum(), logits)


def record_norms() -> None:
    x = given("x", 2, 6, 4, 3)
    norms = {"group": torch.nn.GroupNorm(3, 6), "batch": torch.nn.BatchNorm2d(6)}
    dy = torch.tensor(random.standard_normal((2, 6, 4, 3)).astype(np.float32))
    values["dy"] = dy.numpy()
    weight, bias = (random.standard_normal(6).astype(np.float32) for _ in range(2))
    values.update(weight=weight, bias=bias)
    for name, norm in norms.items():
        with torch.no_grad():
            norm.weight.copy_(torch.tensor(weight))
            norm.bias.copy_(torch.tensor(bias))
        y = norm(x * 2 + 30)
        if name == "batch":
            y = F.leaky_relu(y, 0.1)
        values[f"{name}/y"] = y.detach().numpy()
        keep(name, (y * dy).sum(), x, norm.weight, norm.bias)


if __name__ == "__main__":
    DY_SIDES = random.standard_normal((2, 3, 4)).astype(np.float32)
    values["dy_sides"] = DY_SIDES
    record_distribution_focal()
    record_expected_bins()
    record_norms()
    np.savez_compressed(Path(__file__).with_name("torch_dense_values.npz"), **values)
