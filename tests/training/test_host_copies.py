"""What a step of the toy study reads back from tensors: on a GPU each is a copy, and a wait.

tests/backend/test_cuda_steps.py holds that there are no others, in what Jittor does by itself.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jittor as jt
import pytest
from toy_steps import Step, steps

import unidet

READERS = ("numpy", "__array__", "item", "tolist", "fetch_sync")
IMAGES = 2
REASONS = {
    "ops/nms.py:nms": "how many boxes are kept decides the shapes of what follows",
    "models/dense_output.py:best_of_levels": "the order of equal scores, which a GPU's sort drops",
    "models/oln_head.py:losses": "the IoU that a box has reached, the target of its objectness",
    "models/roi_samples.py:_deltas": "targets of annotations, made before the network runs",
    "models/box_head.py:in_passes": "the results, a part of the regions at a time",
    "models/box_head.py:refined": "the results, which NMS takes",
    "models/roi_classifier.py:all_heads": "the results, which are stored",
    "models/roi_classifier.py:decoded": "the results, which are stored",
}
EXPECTED: dict[str, dict[str, int]] = {
    "clip": {},
    "rpn": {
        "models/oln_head.py:losses": 1,
        "models/dense_output.py:best_of_levels": 3,
        "ops/nms.py:nms": IMAGES,
    },
    "roi": {"models/roi_samples.py:_deltas": 1},
    "proposals": {
        "models/dense_output.py:best_of_levels": 3,
        "models/box_head.py:in_passes": 3,
        "models/box_head.py:refined": 1,
        "ops/nms.py:nms": 2 * IMAGES,
    },
    "lvis_raw": {"models/roi_classifier.py:all_heads": 2, "models/roi_classifier.py:decoded": 1},
}
"""Reads of a step, whatever the size of images and networks."""


@pytest.fixture(scope="module")
def made() -> dict[str, Step]:
    return steps()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each function of ours has read a tensor."""
    counts: Counter[str] = Counter()
    root = Path(unidet.__file__).parent

    def is_ours(file: str) -> bool:
        return Path(file).is_relative_to(root)

    def counting(read: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            frame = sys._getframe(1)
            while "<" in frame.f_code.co_name or not is_ours(frame.f_code.co_filename):
                assert frame.f_back is not None
                frame = frame.f_back
            code = frame.f_code
            counts[f"{Path(code.co_filename).relative_to(root)}:{code.co_name}"] += 1
            return read(*arguments)

        return counted

    for name in READERS:
        if hasattr(jt.Var, name):
            monkeypatch.setattr(jt.Var, name, counting(getattr(jt.Var, name)))
    return counts


@pytest.mark.parametrize("name", EXPECTED)
def test_a_step_reads_back_what_is_named_here_alone(
    name: str, made: dict[str, Step], reads: Counter[str]
) -> None:
    made[name]()
    assert dict(reads) == EXPECTED[name]
    assert reads.keys() <= REASONS.keys()
