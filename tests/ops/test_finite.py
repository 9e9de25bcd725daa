"""Outputs that are no numbers end a run with one line."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.ops.finite import require_finite


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(odd: float) -> None:
    outputs = np.zeros((3, 4), np.float32)
    outputs[1, 2] = odd
    with pytest.raises(UserError, match="outputs are NaN or infinite: its weights are damaged"):
        require_finite(outputs)


def test_numbers_are_as_they_are() -> None:
    for outputs in (np.zeros((0, 4), np.float32), np.full(9, 6e4, np.float16), np.ones(3)):
        assert require_finite(outputs) is outputs
    huge = np.full(2, np.finfo(np.float32).max, np.float32)  # whose sum is infinite
    assert require_finite(huge) is huge
