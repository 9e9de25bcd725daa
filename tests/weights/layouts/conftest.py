"""Small layouts, so that everything about them can be worked out by hand."""

from __future__ import annotations

import pytest

from unidet.weights.layouts.layer_shapes import batch_norm, convolution, linear
from unidet.weights.layouts.layout import Layout


def small_shapes() -> dict:
    return {
        **convolution("body.conv1", 2, 3, 1),
        **batch_norm("body.bn1", 2),
        **linear("head.out", None, 2),
        **linear("head.box", 4, 2),
    }


@pytest.fixture
def small() -> Layout:
    return Layout(
        name="small",
        network="tiny",
        summary="two layers",
        shapes=small_shapes,
        renames=((r"^body\.", "trunk."), (r"^head\.box\.", "regressor.")),
        kept=("head.out.*",),
        vocabulary="head.words",
        embedding=2,
    )
