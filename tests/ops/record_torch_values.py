"""Writes torch_values.npz: what PyTorch (2.13, CPU) answers where the tests here ask the same.

Run with a Python that has torch and numpy: python record_torch_values.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

random = np.random.RandomState(7)
values: dict[str, np.ndarray] = {}


def leaf(name: str, array: np.ndarray) -> torch.Tensor:
    values[name] = array.astype(np.float32)
    return torch.tensor(values[name], requires_grad=True)


def keep(name: str, loss: torch.Tensor, *leaves: torch.Tensor) -> None:
    values[name] = np.float32(loss.detach().numpy())
    for number, grad in enumerate(torch.autograd.grad(loss, leaves, retain_graph=True)):
        values[f"{name}/grad{number}"] = grad.numpy()


def record_losses() -> None:
    logits = leaf("logits", np.r_[random.randn(5, 4) * 4, [[0, 60, -60, 0]]])
    targets = torch.tensor(random.rand(6, 4).astype(np.float32))
    weights = torch.tensor(random.rand(6, 1).astype(np.float32))
    labels = torch.tensor([0, 3, 1, 1, 2, 1])
    values.update(targets=targets.numpy(), weights=weights.numpy(), labels=labels.numpy())
    binary = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    keep("binary_cross_entropy", (binary * weights).sum() / 3, logits)
    softmax = F.cross_entropy(logits, labels, reduction="none")
    keep("cross_entropy", (softmax * weights[:, 0]).sum() / 3, logits)
    focus = (targets - torch.sigmoid(logits)).abs()
    keep("quality_focal", (focus**2 * binary * weights).sum() / 3, logits)
    keep("quality_focal_1.5", (focus**1.5 * binary * weights).sum() / 3, logits)
    keep("l1", ((logits - targets).abs() * weights).sum() / 3, logits)


def record_box_losses() -> None:
    low = random.rand(6, 2) * 50
    boxes = leaf("boxes", np.c_[low, low + 5 + random.rand(6, 2) * 60])
    shift = random.randn(6, 4) * 8
    shift[5] += 500
    others = torch.tensor((boxes.detach().numpy() + shift).astype(np.float32))
    weights = torch.tensor(random.rand(6).astype(np.float32))
    values.update(others=others.numpy(), box_weights=weights.numpy())
    corners = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    shared = (corners[1] - corners[0]).clamp(min=0).prod(dim=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (others[:, 2:] - others[:, :2]).prod(1) - shared
    hull = torch.maximum(boxes[:, 2:], others[:, 2:]) - torch.minimum(boxes[:, :2], others[:, :2])
    hull_area = hull.prod(dim=1)
    keep("iou", ((1 - (shared / union).clamp(min=1e-6)) * weights).sum() / 4, boxes)
    giou = shared / union - (hull_area - union) / hull_area
    keep("giou", ((1 - giou) * weights).sum() / 4, boxes)


def record_batch_norm(name: str, training: bool, relu: bool) -> None:
    x = torch.tensor(values["x"], requires_grad=True)
    norm = torch.nn.BatchNorm2d(5)
    state = {key: torch.tensor(values[key]) for key in ("weight", "bias")}
    state |= {f"running_{key}": torch.tensor(values[f"running_{key}"]) for key in ("mean", "var")}
    norm.load_state_dict(state, strict=False)
    norm.train(training)
    y = torch.relu(norm(x)) if relu else norm(x)
    values[f"{name}/y"] = y.detach().numpy()
    values[f"{name}/mean"] = norm.running_mean.numpy()
    values[f"{name}/var"] = norm.running_var.numpy()
    keep(name, (y * torch.tensor(values["dy"])).sum(), x, norm.weight, norm.bias)


if __name__ == "__main__":
    record_losses()
    record_box_losses()
    values["x"] = (random.randn(3, 5, 4, 6) * 2 + 30).astype(np.float32)
    values["dy"] = random.randn(3, 5, 4, 6).astype(np.float32)
    for name in ("weight", "bias", "running_mean"):
        values[name] = random.randn(5).astype(np.float32)
    values["running_mean"] += 30
    values["running_var"] = (random.rand(5) + 0.5).astype(np.float32)
    for training in (True, False):
        for relu in (True, False):
            name = f"norm_{'train' if training else 'frozen'}{'_relu' if relu else ''}"
            record_batch_norm(name, training, relu)
    np.savez_compressed(Path(__file__).with_name("torch_values.npz"), **values)
