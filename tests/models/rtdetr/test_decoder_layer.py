"""One call of the decoder's deformable attention against the official code's, and how it starts."""

from __future__ import annotations

from collections.abc import Callable

import jittor as jt
import numpy as np
import pytest

from unidet.models.rtdetr.decoder_layer import DeformableAttention, initial_offsets
from unidet.weights.load import load_into

HEADS, LEVELS, POINTS = 8, 3, 4
NAME = "decoder.decoder.layers.0.cross_attn."


@pytest.fixture(scope="module")
def recording(transformer_recording: Callable) -> dict[str, np.ndarray]:
    """Two images, 7 queries, levels of 8 x 10, 4 x 5 and 2 x 3 cells."""
    return transformer_recording("rtdetr_unit_msda")


def test_one_call(recording: dict[str, np.ndarray], recorded_weight: Callable) -> None:
    attention = DeformableAttention(256, HEADS, LEVELS, POINTS)
    shapes = {name: tuple(var.shape) for name, var in attention.named_parameters()}
    load_into(attention, {n: recorded_weight(NAME + n, shape) for n, shape in shapes.items()})
    inputs = (jt.array(recording[name]) for name in ("query", "reference", "value"))
    queries, references, memory = inputs
    sizes = [(int(height), int(width)) for height, width in recording["spatial_shapes"]]
    with jt.no_grad():
        ours = attention(queries, references[:, :, 0], memory, sizes).numpy()
    np.testing.assert_allclose(ours, recording["output"], rtol=0, atol=1e-5)


def test_where_heads_look_at_first(recording: dict[str, np.ndarray]) -> None:
    offsets = initial_offsets(HEADS, LEVELS, POINTS)
    np.testing.assert_allclose(offsets, recording["init_offset_bias"], rtol=0, atol=5e-6)
    attention = DeformableAttention(256, HEADS, LEVELS, POINTS)
    np.testing.assert_array_equal(attention.sampling_offsets.bias.numpy(), offsets)
