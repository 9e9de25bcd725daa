"""Filters packed for inference: the layers' own results, followed when parameters change."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest
from jittor import nn
from numpy.testing import assert_allclose

from unidet.models.inference import pack_for_inference
from unidet.models.layers import set_batch_norm_training
from unidet.models.rtdetr.conv_blocks import CSPRep
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import LANES, as_array, can_block, to_blocked

pytestmark = pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")


@pytest.fixture(scope="module")
def block() -> nn.Module:
    """Pairs of 3 x 3 and 1 x 1 filters among its layers, norms with statistics of their own."""
    module, rng = CSPRep(64, 32, 32, 2), np.random.default_rng(0)
    for norm in (child for child in module.modules() if isinstance(child, BatchNorm2d)):
        for name in ("weight", "bias", "running_mean", "running_var"):
            values = rng.uniform(0.5, 1.5, norm.weight.shape).astype(np.float32)
            getattr(norm, name).update(jt.array(values).stop_grad())
    set_batch_norm_training(module, False)
    pack_for_inference(module)
    return module


def test_the_results_of_the_layers(block: nn.Module) -> None:
    feats = jt.array(np.random.default_rng(1).standard_normal((2, 64, 5, 6)).astype(np.float32))
    with_gradients = block(feats).numpy()
    with jt.no_grad():
        packed = as_array(block(to_blocked(feats)))
    assert_allclose(packed, with_gradients, rtol=1e-5, atol=1e-5 * np.abs(with_gradients).max())
    assert as_array(block(to_blocked(feats))).shape == packed.shape


def test_filters_follow_their_parameters(block: nn.Module) -> None:
    feats, last = to_blocked(jt.ones((1, 64, 4, 4))), block.bottlenecks[-1]
    with jt.no_grad():
        before = as_array(block(feats))
        assert (as_array(block(feats)) == before).all()
        for changed in (last.conv1.conv.weight, last.conv2.norm.bias, last.conv2.norm.running_mean):
            changed.update(changed + 1)
            after = as_array(block(feats))
            assert (after != before).any()
            before = after
