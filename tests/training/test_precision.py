"""Mixed precision on a CPU: what is rounded, what is not; loss scaling, worked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import jittor as jt
import numpy as np
import pytest
from jittor import nn
from safetensors.numpy import load_file

from unidet.config.training import OptimizerConfig, Precision, ScheduleConfig, TrainingConfig
from unidet.errors import UserError
from unidet.models.layers import PointwiseConv
from unidet.ops import onednn
from unidet.ops.attention import batched_matmul
from unidet.ops.loss_term import Losses, LossTerm
from unidet.training import precision as precision_module
from unidet.training.loop import train
from unidet.training.loss_scale import START, LossScale
from unidet.training.optimizer import Optimizer
from unidet.training.precision import computing_in, lowered, raised

HALF_OF_LAST = 2.0**-9
"""Beside 1 it lies halfway to bfloat16's next number."""


@pytest.mark.parametrize(
    ("precision", "given", "nearest"),
    [
        ("bfloat16", 1 + HALF_OF_LAST, 1.0),  # to the even one of two
        ("bfloat16", 1 + 3 * HALF_OF_LAST, 1 + 4 * HALF_OF_LAST),
        ("bfloat16", 3.4e38, np.inf),
        ("bfloat16", -1e-38, -9.965e-39),
        ("float16", 2049.0, 2048.0),
        ("float16", 2051.0, 2052.0),
        ("float16", 65519.0, 65504.0),
        ("float16", -65520.0, -np.inf),
        ("float16", 3 * 2.0**-25, 2 * 2.0**-24),
        ("float16", 2.0**-25, 0.0),
        ("float16", np.inf, np.inf),
    ],
)
def test_the_nearest_number(precision: Precision, given: float, nearest: float) -> None:
    found = lowered(precision, jt.array(np.array([given, np.nan], np.float32))).numpy()
    assert found[0] == pytest.approx(nearest, rel=1e-3 if abs(nearest) < 1e-37 else 0)
    assert np.isnan(found[1])


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_what_a_layer_takes_and_gives_is_rounded(precision: Precision) -> None:
    """Each layer is one product a * b; a, b and the product round, and so do gradients."""
    step = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[precision]
    numbers = jt.array([1 + step * 0.75]), jt.array([1 + step * 1.25])
    rounded, product = (1 + step) ** 2, 1 + 2 * step  # of 1 + 2 step + step squared
    conv, dense = nn.Conv(1, 1, 1, bias=False), nn.Linear(1, 1, bias=False)
    pointwise = PointwiseConv(1, 1, bias=False)
    products = {
        "convolution": lambda a, b: nn.conv2d(a.reshape(1, 1, 1, 1), b.reshape(1, 1, 1, 1)),
        "its layer": lambda a, b: _with(conv, b.reshape(1, 1, 1, 1))(a.reshape(1, 1, 1, 1)),
        "1 x 1": lambda a, b: _with(pointwise, b.reshape(1, 1, 1, 1))(a.reshape(1, 1, 1, 1)),
        "linear layer": lambda a, b: _with(dense, b.reshape(1, 1))(a.reshape(1, 1)),
        "linear": lambda a, b: nn.linear(a.reshape(1, 1), b.reshape(1, 1)),
        "matrices": lambda a, b: jt.matmul(a.reshape(1, 1), b.reshape(1, 1)),
        "batches": lambda a, b: batched_matmul(a.reshape(1, 1, 1), b.reshape(1, 1, 1)),
    }
    for name, multiply in products.items():
        with computing_in(precision):
            y = multiply(*numbers)
            gradients = jt.grad((y * (1 + step * 0.75)).sum(), list(numbers))
        assert y.item() == product != rounded, name
        assert [gradient.item() for gradient in gradients] == [product] * 2, name


def _with(layer: nn.Module, weight: jt.Var) -> nn.Module:
    layer.weight = weight
    return layer


def test_biases_and_what_lies_outside_stay_as_they_are() -> None:
    before = nn.conv2d, jt.matmul, nn.linear, nn.Conv.execute, nn.Linear.execute, onednn.has_avx512
    dense = nn.Linear(1, 1)
    dense.weight, dense.bias = jt.array([[1.0]]), jt.array([1e-4])
    with computing_in("bfloat16"):
        assert dense(jt.array([[1.0]])).item() == pytest.approx(1.0001, rel=1e-7)
        assert not onednn.has_avx512()
    with pytest.raises(RuntimeError), computing_in("float16"):
        raise RuntimeError
    after = nn.conv2d, jt.matmul, nn.linear, nn.Conv.execute, nn.Linear.execute, onednn.has_avx512
    assert after == before
    with computing_in("float32"):
        assert (nn.conv2d, jt.matmul) == before[:2]


def test_a_gpu_is_given_tensors_of_the_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed: a CPU's kernels know no such type."""
    gpu = SimpleNamespace(flags=SimpleNamespace(use_cuda=1))
    monkeypatch.setattr(precision_module, "jt", gpu)
    x, weight = jt.ones((1, 2, 5, 5)), jt.ones((3, 2, 3, 3))
    for kind in ("bfloat16", "float16"):
        low = nn.conv2d(lowered(kind, x), lowered(kind, weight))
        assert low.dtype == kind
        y = raised(kind, low)
        assert y.dtype == "float32"
        assert [grad.dtype for grad in jt.grad((y * y).sum(), [x, weight])] == ["float32"] * 2


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = jt.array([2.0])


def optimizer_of(model: nn.Module) -> tuple[Optimizer, LossScale]:
    scale = LossScale()
    settings = OptimizerConfig(kind="sgd", lr=0.5, momentum=0.0)
    return Optimizer(model, settings, scale), scale


def test_scaled_gradients_make_the_same_update() -> None:
    model = One()
    optimizer, scale = optimizer_of(model)
    optimizer.add((model.weight * 3).sum())
    optimizer.step(1.0)
    assert model.weight.item() == 2.0 - 0.5 * 3
    assert scale.state().tolist() == [START, 1]


def test_a_step_that_overflows_is_skipped_and_the_scale_halves() -> None:
    model = One()
    optimizer, scale = optimizer_of(model)
    for bad in (np.inf, np.nan):
        optimizer.add((model.weight * jt.array([bad])).sum())
        optimizer.step(1.0)
    assert model.weight.item() == 2.0
    assert scale.factor == START / 4
    assert optimizer.state()["updates"].tolist() == [0]
    optimizer.add((model.weight * 3).sum())  # nothing of the skipped gradients is left
    optimizer.step(1.0)
    assert model.weight.item() == 0.5


def test_the_scale_doubles_after_2000_good_steps_and_is_resumed() -> None:
    optimizer, _ = optimizer_of(One())
    other, resumed = optimizer_of(One())
    state = optimizer.state() | {"loss_scale": np.array([8.0, 1999], np.float32)}
    other.load(state)
    assert resumed.state().tolist() == [8, 1999]
    assert resumed.unscale([jt.array([16.0])])
    assert resumed.state().tolist() == [16, 0]


def test_gradients_that_overflow_at_any_scale() -> None:
    scale = LossScale()
    scale.load(np.array([1.0, 0], np.float32))
    with pytest.raises(UserError, match=r"overflow float16; use runtime\.precision=bfloat16"):
        scale.unscale([jt.array([np.inf])])


def trained(folder: Path, steps: int) -> dict[str, np.ndarray]:
    """Weights of a linear layer after some steps on inputs of which the first two overflow."""
    folder.mkdir(exist_ok=True)
    jt.set_global_seed(1)
    model = nn.Linear(3, 2)
    settings = TrainingConfig(
        steps=steps,
        batch_size=1,
        optimizer=OptimizerConfig(kind="sgd", lr=0.1),
        schedule=ScheduleConfig(kind="constant"),
        checkpoint_every=3,
    )

    def batches(start: int) -> Iterator[float]:
        yield from [3e4, 3e4, 1.0, 0.5, -1.0][start:]

    def loss_of(size: float, random: object) -> Losses:
        outputs = model(jt.array([[size, size, 0.3]]))
        return {"loss": LossTerm((outputs * outputs).sum(), 1.0)}

    progress = SimpleNamespace(update=lambda done, total, note: None)
    return train(
        *(model, loss_of, batches, settings),
        seed=0,
        folder=folder,
        progress=progress,
        precision="float16",
    )


def test_a_run_in_float16_resumes_with_its_scale(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", 5)
    start = trained(tmp_path / "parts", 3)
    resumed = trained(tmp_path / "parts", 5)
    for name in whole:
        assert np.isfinite(whole[name]).all()
        np.testing.assert_array_equal(resumed[name], whole[name])
        assert (start[name] != whole[name]).any()
    for name in ("whole", "parts"):
        saved = load_file(tmp_path / name / "checkpoint.safetensors")
        assert saved["optimizer/loss_scale"].tolist() == [START / 4, 1]
