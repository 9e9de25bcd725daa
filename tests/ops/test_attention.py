"""Batched products and attention against numpy."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest

from unidet.ops import onednn
from unidet.ops.attention import (
    attention,
    batched_matmul,
    can_fuse_attention,
    fused_attention,
    merge_heads,
    split_heads,
)

needs_avx512 = pytest.mark.skipif(not onednn.has_avx512(), reason="needs AVX-512 and oneDNN")
random = np.random.RandomState(3)


def normal(*shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("sides", [(1, 2, 5, 4), (3, 2, 5, 4)])
@pytest.mark.parametrize("by_onednn", [False, pytest.param(True, marks=needs_avx512)])
def test_batched_product_and_its_gradients(
    sides: tuple[int, int, int, int], by_onednn: bool
) -> None:
    batch, rows, columns, width = sides
    left, right = normal(batch, rows, columns), normal(batch, columns, width)
    weights = normal(batch, rows, width)
    a, b = jt.array(left), jt.array(right)
    product = batched_matmul(a, b, by_onednn=by_onednn)
    np.testing.assert_allclose(product.numpy(), left @ right, atol=1e-5)
    grad_a, grad_b = jt.grad((product * jt.array(weights)).sum(), [a, b])
    np.testing.assert_allclose(grad_a.numpy(), weights @ right.transpose(0, 2, 1), atol=1e-5)
    np.testing.assert_allclose(grad_b.numpy(), left.transpose(0, 2, 1) @ weights, atol=1e-5)


@needs_avx512
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("queries", [1, 7, 150])
def test_attention_of_heads(queries: int, masked: bool) -> None:
    """150 queries are two rounds and a part of one; large logits."""
    images, heads, keys, width = 2, 4, 37, 32
    placed = [jt.array(normal(images, n, width) * 3) for n in (queries, keys, keys)]
    mask = None
    if masked:
        hidden = np.zeros((images * heads, 1, keys), np.float32)
        hidden[:heads, :, 20:] = -1e9
        mask = jt.array(hidden)
    theirs = merge_heads(attention(*(split_heads(x, heads) for x in placed), mask), heads)
    assert not can_fuse_attention(mask)
    with jt.no_grad():
        assert can_fuse_attention(mask)
        ours = fused_attention(*placed, heads, mask)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-4, rtol=1e-5)


def test_attention_with_a_mask() -> None:
    queries, keys, values = normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 6)
    mask = np.zeros((3, 5), np.float32)
    mask[:, 3:] = -1e9
    scores = np.exp(queries @ keys[:, :3].transpose(0, 2, 1) / 2)
    expected = scores / scores.sum(axis=2, keepdims=True) @ values[:, :3]
    ours = attention(*map(jt.array, (queries, keys, values, mask)))
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)


def test_heads_are_split_and_merged() -> None:
    tokens = normal(2, 3, 8)
    split = split_heads(jt.array(tokens), 4)
    assert split.shape == [8, 3, 2]
    np.testing.assert_array_equal(split.numpy()[5], tokens[1, :, 2:4])
    np.testing.assert_array_equal(merge_heads(split, 4).numpy(), tokens)
