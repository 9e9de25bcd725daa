"""Loading is all or nothing and names everything that does not fit."""

from __future__ import annotations

from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from jittor import nn

from unidet.errors import Malformed, UserError
from unidet.weights.load import load_into, load_stored, state_of
from unidet.weights.write import write_npz, write_safetensors


class Network(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Conv(1, 2, 1)
        self.norm = nn.BatchNorm(2)
        self.last = nn.Linear(2, 1)

    def execute(self, images: jt.Var) -> jt.Var:
        return self.last(self.norm(self.first(images)).mean(dims=(2, 3)))


NAMES = [
    "first.weight",
    "first.bias",
    "norm.weight",
    "norm.bias",
    "norm.running_mean",
    "norm.running_var",
    "last.weight",
    "last.bias",
]


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def arrays(network: Network) -> dict[str, np.ndarray]:
    return {
        name: np.full(array.shape, index + 0.5, np.float32)
        for index, (name, array) in enumerate(state_of(network).items())
    }


def test_state_of_holds_parameters_and_buffers(network: Network) -> None:
    state = state_of(network)
    assert list(state) == NAMES
    np.testing.assert_array_equal(state["norm.running_var"], [1, 1])
    state["norm.running_var"][:] = 9
    np.testing.assert_array_equal(network.norm.running_var.numpy(), [1, 1])


def test_everything_arrives(network: Network, arrays: dict[str, np.ndarray]) -> None:
    load_into(network, arrays)
    state = state_of(network)
    for name, array in arrays.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name, strict=True)


def test_output_worked_by_hand(network: Network, arrays: dict[str, np.ndarray]) -> None:
    # first: 0.5 x + 1.5; norm (running mean 4.5, variance 5.5): 2.5 (y - 4.5) / sqrt(5.5) + 3.5;
    # last: 6.5 (z + z) + 7.5
    load_into(network, arrays)
    network.norm.is_train = False
    output = network(jt.ones((1, 1, 2, 2))).item()
    normalized = 2.5 * (2.0 - 4.5) / np.sqrt(5.5 + 1e-5) + 3.5
    assert output == pytest.approx(6.5 * 2 * normalized + 7.5, rel=1e-5)


def test_what_learns_still_learns_and_buffers_do_not(
    network: Network, arrays: dict[str, np.ndarray]
) -> None:
    before = {name: var.is_stop_grad() for name, var in network.named_parameters()}
    assert before["norm.running_mean"]
    assert not before["last.weight"]
    load_into(network, arrays)
    assert {name: var.is_stop_grad() for name, var in network.named_parameters()} == before
    gradient = jt.grad(network(jt.ones((1, 1, 2, 2))).sum(), network.last.bias)
    np.testing.assert_allclose(gradient.numpy(), [1])


def test_all_problems_in_one_line(network: Network, arrays: dict[str, np.ndarray]) -> None:
    before = state_of(network)
    del arrays["first.bias"]
    arrays["extra"] = np.zeros(1, np.float32)
    arrays["last.weight"] = np.zeros((3, 2), np.float32)
    arrays["norm.bias"][1] = np.nan
    arrays["norm.weight"][0] = np.inf
    with pytest.raises(UserError) as caught:
        load_into(network, arrays)
    message = str(caught.value)
    assert "1 missing (first.bias)" in message
    assert "1 unexpected (extra)" in message
    assert "1 of another shape (last.weight (3, 2), not (1, 2))" in message
    assert "2 not finite (norm.weight, norm.bias)" in message
    after = state_of(network)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_allowed_by_name_or_pattern(network: Network, arrays: dict[str, np.ndarray]) -> None:
    kept = state_of(network)["first.weight"]
    partial = {name: array for name, array in arrays.items() if not name.startswith("first.")}
    partial["teacher.weight"] = np.zeros(1, np.float32)
    load_into(network, partial, allow_missing=["first.*"], allow_unexpected=["teacher.weight"])
    np.testing.assert_array_equal(network.first.weight.numpy(), kept)
    np.testing.assert_array_equal(network.last.bias.numpy(), arrays["last.bias"])
    with pytest.raises(UserError, match=r"1 missing \(first\.bias\)"):
        load_into(
            network,
            partial,
            allow_missing=["first.weight"],
            allow_unexpected=["teacher.weight"],
        )


def test_half_and_double_become_the_networks_type(
    network: Network, arrays: dict[str, np.ndarray]
) -> None:
    mixed = {
        name: array.astype(np.float16 if name.startswith("first") else np.float64)
        for name, array in arrays.items()
    }
    load_into(network, mixed)
    for name, array in state_of(network).items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name, strict=True)


def test_many_names_are_cut_short(network: Network) -> None:
    with pytest.raises(UserError, match=r"8 missing \(first\.weight, .*last\.bias\)$"):
        load_into(network, {})
    many = {f"other{index}": np.zeros(1, np.float32) for index in range(20)}
    with pytest.raises(UserError, match=r"20 unexpected \(other0, .*other7 and 12 more\)$"):
        load_into(network, many, allow_missing=["*"])


def test_weights_that_no_stage_has_left_name_their_file(network: Network, tmp_path: Path) -> None:
    before = state_of(network)
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {**before, "first.bias": np.zeros(3, np.float32)})
    with pytest.raises(Malformed, match=r"model\.safetensors: .*first\.bias \(3,\), not \(2,\)"):
        load_stored(network, path)
    write_npz(path, {**before, "first.bias": np.array(["a", "b"])})
    with pytest.raises(Malformed, match=r"model\.safetensors: .*1 not real numbers \(first\.bias"):
        load_stored(network, path)
    path.write_bytes(b"\x08")
    with pytest.raises(Malformed, match=r"model\.safetensors"):
        load_stored(network, path)
    assert all((state_of(network)[name] == array).all() for name, array in before.items())
