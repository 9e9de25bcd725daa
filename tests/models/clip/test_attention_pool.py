"""The attention pool by hand; its numbers against torch are in test_networks.py."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest

from unidet.models.clip.attention_pool import AttentionPool


def test_equal_scores_average_the_values() -> None:
    pool = AttentionPool(size=2, channels=4, heads=2, embedding=4)
    for projection in (pool.v_proj, pool.c_proj):
        projection.weight.assign(jt.array(np.eye(4, dtype=np.float32)))
        projection.bias.assign(jt.zeros(4))
    pool.k_proj.weight.assign(jt.zeros((4, 4)))
    pool.positional_embedding.assign(jt.zeros((5, 4)))
    feats = np.random.default_rng(0).standard_normal((3, 4, 2, 2)).astype(np.float32)
    # The mean of a mean and the four numbers it is the mean of is that mean.
    np.testing.assert_allclose(pool(jt.array(feats)).numpy(), feats.mean(axis=(2, 3)), atol=1e-6)


def test_maps_of_another_size_are_refused() -> None:
    pool = AttentionPool(size=2, channels=4, heads=2, embedding=3)
    assert pool(jt.zeros((1, 4, 2, 2))).shape == [1, 3]
    with pytest.raises(ValueError, match="sides must be 2"):
        pool(jt.zeros((1, 4, 1, 4)))
