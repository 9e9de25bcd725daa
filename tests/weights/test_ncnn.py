"""ncnn's two files: a small network written here by hand, and the real NanoDet-Plus."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.weights.layouts.nanodet_plus_ncnn import execution_order, official_arrays
from unidet.weights.layouts.registry import open_weights
from unidet.weights.ncnn import read_ncnn

GRAPH = """7767517
4 4
Input            data  0 1 data
Convolution      first 1 1 data a 0=2 1=1 5=1 6=6 9=2 -23310=1,1.000000e-01
ConvolutionDepthWise second 1 1 a b 0=2 1=3 11=1 4=1 6=6 7=2
ReLU             third 1 1 b c 0=1.000000e-01
"""
HALF = np.array([1, 2, 3, 4, 5, -0.5], "<f2")
BIAS = np.array([10, 20], "<f4")
WHOLE = np.array([1, 2, 3, 0.1, 0.2, 0.3], "<f4")
WEIGHTS = (
    struct.pack("<I", 0x01306B47) + HALF.tobytes() + BIAS.tobytes() + bytes(4) + WHOLE.tobytes()
)


def write(folder: Path, graph: str = GRAPH, weights: bytes = WEIGHTS) -> Path:
    (folder / "net.param").write_text(graph)
    (folder / "net.bin").write_bytes(weights)
    return folder / "net.param"


@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_half_and_whole_floats(tmp_path: Path, suffix: str) -> None:
    first, second = read_ncnn(write(tmp_path).with_suffix(suffix))
    assert (first.name, second.name) == ("first", "second")
    np.testing.assert_array_equal(
        first.weight, np.array([[1, 2, 3], [4, 5, -0.5]], np.float32)[:, :, None, None], strict=True
    )
    np.testing.assert_array_equal(first.bias, np.array([10, 20], np.float32), strict=True)
    np.testing.assert_array_equal(second.weight, WHOLE.reshape(2, 1, 1, 3), strict=True)
    np.testing.assert_array_equal(second.bias, np.zeros(2, np.float32), strict=True)


def test_half_floats_are_padded_to_four_bytes(tmp_path: Path) -> None:
    graph = GRAPH.replace("0=2 1=1 5=1 6=6", "0=1 1=1 5=1 6=3")
    odd = struct.pack("<I", 0x01306B47) + HALF[:3].tobytes() + b"xx" + BIAS[:1].tobytes()
    first, _ = read_ncnn(write(tmp_path, graph, odd + bytes(4) + WHOLE.tobytes()))
    assert first.weight.ravel().tolist() == [1, 2, 3]
    assert first.bias.tolist() == [10]


@pytest.mark.parametrize(
    ("graph", "weights", "complaint"),
    [
        (GRAPH, WEIGHTS[:-1], r"net\.bin is truncated: at least 1 bytes are missing"),
        (GRAPH, b"", r"net\.bin is empty: fetch or write it again"),
        (GRAPH, WEIGHTS + b"more", r"net\.bin does not belong to the \.param: 4 bytes are left"),
        (GRAPH, b"abcd" + WEIGHTS[4:], r"layer first .* kind 0x64636261; float16 and float32"),
        ("7767517\n", WEIGHTS, r"net\.param is truncated: it has 0 of \? layers"),
        (GRAPH[:120], WEIGHTS, r"net\.param is truncated: it has 2 of 4 layers"),
        (GRAPH.replace("7767517", "7767518"), WEIGHTS, r"does not start with 7767517"),
        (
            GRAPH.replace("ReLU", "BatchNorm"),
            WEIGHTS,
            r"layer third has the unknown type BatchNorm",
        ),
        (
            GRAPH.replace("6=6 9=2", "6=5 9=2"),
            WEIGHTS,
            r"first .* has 5 weights for 2 filters of 1x1",
        ),
        (GRAPH.replace("9=2", "8=2"), WEIGHTS, r"first .* is quantized to 8 bits"),
        (GRAPH.replace("ReLU             third 1 1", "ReLU third 1"), WEIGHTS, r"malformed layer"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, graph: str, weights: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        read_ncnn(write(tmp_path, graph, weights))
    assert "\n" not in str(caught.value)


def test_a_file_without_its_partner(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(UserError, match=r"two files; there is no .*net\.bin"):
        open_weights(path)


def test_another_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"net\.param: has 2 convolutions, a NanoDet-Plus has 110"):
        open_weights(write(tmp_path))


@pytest.fixture
def real(reference: Path) -> Path:
    return reference / "bench/weights/nanodet_plus_m_416.param"


def test_order_and_names_are_those_of_the_map(reference: Path) -> None:
    rows = (reference / "reference/detectors/ncnn_map.tsv").read_text().splitlines()[1:]
    mapped = [(row.split("\t")[2], row.split("\t")[4]) for row in rows]
    assert len(mapped) == 110
    ours = [(f"{name}.weight", norm or "-") for name, norm in execution_order()]
    assert ours == mapped


def test_the_real_network(real: Path) -> None:
    weights = open_weights(real)
    assert weights.layout.name == "nanodet_plus_m"
    assert open_weights(real.with_suffix(".bin")).layout is weights.layout
    convolutions = read_ncnn(real)
    assert sum(layer.weight.size for layer in convolutions) == 1_174_320
    assert sum(layer.bias.size for layer in convolutions) == 12_026
    np.testing.assert_array_equal(
        weights.arrays["backbone.stem.norm.bias"], convolutions[0].bias, strict=True
    )
    assert not any(name.startswith("aux_") for name in weights.arrays)


def test_a_layer_of_another_shape(real: Path) -> None:
    convolutions = read_ncnn(real)
    convolutions[3], convolutions[4] = convolutions[4], convolutions[3]
    with pytest.raises(
        UserError, match=r"layer Conv_8 has weights of 58x1x3x3, where nanodet_plus_m has 58x24x1x1"
    ):
        official_arrays(convolutions)
