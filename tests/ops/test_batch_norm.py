"""Batch norm against PyTorch's recorded values, gradients and running statistics."""

from __future__ import annotations

from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops.batch_norm import BatchNorm2d

TORCH = dict(np.load(Path(__file__).with_name("torch_values.npz")))


def recorded_norm(train: bool, relu: bool) -> BatchNorm2d:
    norm = BatchNorm2d(5, relu=relu)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).update(jt.array(TORCH[name]))
    norm.is_train = train
    return norm


def check(name: str, norm: BatchNorm2d, y: jt.Var, x: jt.Var) -> None:
    assert_allclose(y.numpy(), TORCH[f"{name}/y"], atol=5e-5)
    grads = jt.grad((y * jt.array(TORCH["dy"])).sum(), [x, norm.weight, norm.bias])
    for number, grad in enumerate(grads):
        assert_allclose(grad.numpy(), TORCH[f"{name}/grad{number}"], rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_matches_torch(train: bool, relu: bool) -> None:
    name = f"norm_{'train' if train else 'frozen'}{'_relu' if relu else ''}"
    norm, x = recorded_norm(train, relu), jt.array(TORCH["x"])
    check(name, norm, norm(x), x)
    assert_allclose(norm.running_mean.numpy(), TORCH[f"{name}/mean"], rtol=1e-6)
    assert_allclose(norm.running_var.numpy(), TORCH[f"{name}/var"], rtol=1e-5)


@pytest.mark.parametrize("train", [False, True])
def test_tensor_operations_used_elsewhere_match_torch(train: bool) -> None:
    norm, x = recorded_norm(train, True), jt.array(TORCH["x"])
    y, _, _ = norm._by_tensor_operations(x)
    check(f"norm_{'train' if train else 'frozen'}_relu", norm, y, x)


def test_a_large_offset_does_not_drown_the_variance() -> None:
    x = np.random.default_rng(0).standard_normal((8, 2, 16, 16)).astype(np.float32) + 4096
    norm = BatchNorm2d(2)
    norm(jt.array(x)).sync()
    expected = 0.9 + 0.1 * x.astype(np.float64).var(axis=(0, 2, 3), ddof=1)
    assert_allclose(norm.running_var.numpy(), expected, rtol=1e-5)


def test_state_names_and_frozen_statistics() -> None:
    norm = BatchNorm2d(3)
    assert list(norm.state_dict()) == ["weight", "bias", "running_mean", "running_var"]
    norm.is_train = False
    norm(jt.ones((1, 3, 2, 2))).sync()
    assert_array_equal(norm.running_mean.numpy(), np.zeros(3))


def test_stopped_parameters_stay_out_of_the_gradient() -> None:
    norm, x = BatchNorm2d(2), jt.ones((2, 2, 1, 1))
    norm.is_train = False
    norm.weight.stop_grad()
    norm.bias.stop_grad()
    gradient = jt.grad(norm(x).sum(), x).numpy()
    assert_allclose(gradient, np.full((2, 2, 1, 1), 1 / np.sqrt(1 + 1e-5)), rtol=1e-6)


def test_no_images() -> None:
    norm = BatchNorm2d(2)
    norm.is_train = False
    assert norm(jt.zeros((0, 2, 4, 4))).shape == [0, 2, 4, 4]


def test_training_on_one_value_is_refused() -> None:
    with pytest.raises(ValueError, match="one value per channel"):
        BatchNorm2d(2)(jt.ones((1, 2, 1, 1)))


def test_training_without_kernels_matches_torch_after_the_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Updating the running statistics must leave the moments' gradient alone."""
    norm, x = recorded_norm(True, False), jt.array(TORCH["x"])
    monkeypatch.setattr(norm, "_by_kernel", norm._by_tensor_operations)
    check("norm_train", norm, norm(x), x)
    assert_allclose(norm.running_var.numpy(), TORCH["norm_train/var"], rtol=1e-5)
