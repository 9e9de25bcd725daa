"""What a step asks for where a GPU is in use: kernels of the GPU's, and few copies to the host.

Jittor is told that CUDA is in use, and nothing is computed: a step only builds its graph, and what
it reads back are ones. On a GPU each such reading is a copy, and a wait;
tests/backend/test_cuda_steps.py holds that there are no others, in what Jittor does by itself.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jittor as jt
import numpy as np
import pytest
from toy_steps import families

import unidet
from unidet.ops import onednn

READERS = ("numpy", "__array__", "item", "tolist", "fetch_sync")
IMAGES = 2
RTDETR_LAYERS, DETR_LAYERS = 3, 6
REASONS = {
    "ops/nms.py:nms": "how many boxes are kept decides the shapes of what follows",
    "models/dense_output.py:best_of_levels": "the order of equal scores, which a GPU's sort drops",
    "models/oln_head.py:losses": "the IoU that a box has reached, the target of its objectness",
    "models/roi_samples.py:_deltas": "targets of annotations, made before the network runs",
    "models/box_head.py:in_passes": "the results, a part of the regions at a time",
    "models/box_head.py:refined": "the results, which NMS takes",
    "models/roi_classifier.py:all_heads": "the results, which are stored",
    "models/roi_classifier.py:decoded": "the results, which are stored",
    "models/nanodet_plus/detector.py:assignments": "scores and boxes, to assign priors by",
    "models/nanodet_plus/criterion.py:positive_weights": "how sure each head is of its positives",
    "models/nanodet_plus/detector.py:propose": "the results, which NMS takes",
    "models/rtdetr/decoder.py:select": "the order of equal scores, which a GPU's sort drops",
    "models/rtdetr/criterion.py:match_queries": "scores and boxes, for Hungarian matching",
    "models/rtdetr/criterion.py:_class_loss": "boxes, and the IoU they reach: targets of scores",
    "models/rtdetr/network.py:propose": "the results, which are stored",
    "models/detr/criterion.py:match_queries": "scores and boxes, for Hungarian matching",
    "models/detr/criterion.py:class_error": "logged in each step, as officially",
    "models/detr/criterion.py:cardinality_error": "logged in each step, as officially",
    "models/detr/network.py:class_scores": "the results, which are stored",
    "models/set_prediction.py:absolute_boxes": "the results, which are stored",
    "training/loss_scale.py:unscale": "whether gradients are finite, and an update is made of them",
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
    "end2end": {"models/dense_output.py:best_of_levels": 3, "models/roi_samples.py:_deltas": 1},
    "end2end regions": {
        "models/dense_output.py:best_of_levels": 3,
        "models/roi_classifier.py:all_heads": 2,
    },
    "finetune": {"models/roi_samples.py:_deltas": 2},
    "plain_rpn": {"models/dense_output.py:best_of_levels": 3},
    "plain_rpn proposals": {
        "models/dense_output.py:best_of_levels": 3,
        "models/box_head.py:refined": 1,
    },
    "nanodet_plus": {
        "models/nanodet_plus/detector.py:assignments": 2,
        "models/nanodet_plus/criterion.py:positive_weights": 2,
    },
    "nanodet_plus proposals": {
        "models/nanodet_plus/detector.py:propose": 2 * IMAGES,
        "ops/nms.py:nms": IMAGES,
    },
    "rtdetr": {
        "models/rtdetr/decoder.py:select": 1,
        "models/rtdetr/criterion.py:match_queries": 2 * (RTDETR_LAYERS + 1),
        "models/rtdetr/criterion.py:_class_loss": 2 * (2 * RTDETR_LAYERS + 1),
    },
    "rtdetr proposals": {
        "models/rtdetr/decoder.py:select": 1,
        "models/rtdetr/network.py:propose": 1,
        "models/set_prediction.py:absolute_boxes": 1,
    },
    "detr": {
        "models/detr/criterion.py:match_queries": 2 * DETR_LAYERS,
        "models/detr/criterion.py:class_error": 1,
        "models/detr/criterion.py:cardinality_error": 1,
    },
    "detr proposals": {
        "models/detr/network.py:class_scores": 1,
        "models/set_prediction.py:absolute_boxes": 1,
    },
}
"""Reads of a step, whatever the size of images and networks.

Boxes of ones have no area: a plain RPN hands none to NMS, whose reading would be that of "rpn".
"""
for _name in ("clip", "rpn", "roi"):
    EXPECTED[f"{_name}, bfloat16"] = EXPECTED[_name]
    EXPECTED[f"{_name}, float16"] = EXPECTED[_name] | {"training/loss_scale.py:unscale": 1}


class Asked(NamedTuple):
    """By a step: how often each function of ours has read a tensor; the kernels, as `jt.code` was
    called."""

    reads: Counter[str]
    kernels: list[dict[str, Any]]


class OnCuda:
    """Jittor's flags as they are, but for one."""

    use_cuda = 1

    def __init__(self, flags: Any) -> None:
        self.__dict__["flags"] = flags

    def __getattr__(self, name: str) -> Any:
        return getattr(self.flags, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.flags, name, value)


@pytest.fixture(scope="module")
def asked() -> dict[str, Asked]:
    """By the name of each step, on a processor that could do all that is for processors."""
    found = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        now = [Asked(Counter(), [])]
        monkeypatch.setattr(jt, "flags", OnCuda(jt.flags))
        monkeypatch.setattr(onednn, "has_avx512", lambda: True)
        monkeypatch.setattr(jt.compile_extern, "cublas_ops", None, raising=False)
        monkeypatch.setattr(jt, "code", _noting(jt.code, now))
        for name in READERS:
            if hasattr(jt.Var, name):
                monkeypatch.setattr(jt.Var, name, _counting(now, name))
        for owner, name in ((jt.Var, "sync"), (jt, "sync"), (jt, "sync_all")):
            monkeypatch.setattr(owner, name, lambda *arguments: None)
        for family in families():
            for name in family:
                now[0] = found[name] = Asked(Counter(), [])
                family[name]()
            now[0] = Asked(Counter(), [])  # of no step: the next networks are built
            family.clear()
            gc.collect()  # before anything computes what was built
    return found


def _noting(code: Callable[..., Any], now: list[Asked]) -> Callable[..., Any]:
    def noted(*arguments: Any, **named: Any) -> Any:
        now[0].kernels.append(named)
        return code(*arguments, **named)

    return noted


def _counting(now: list[Asked], reader: str) -> Callable[..., Any]:
    root = Path(unidet.__file__).parent

    def is_ours(file: str) -> bool:
        return Path(file).is_relative_to(root)

    def read(var: jt.Var, *arguments: Any) -> Any:
        ones = 1.0 if reader == "item" else np.ones(tuple(var.shape), str(var.dtype))
        frame = sys._getframe(1)
        while "<" in frame.f_code.co_name or not is_ours(frame.f_code.co_filename):
            if frame.f_back is None:
                return ones
            frame = frame.f_back
        code = frame.f_code
        now[0].reads[f"{Path(code.co_filename).relative_to(root)}:{code.co_name}"] += 1
        return ones

    return read


@pytest.mark.parametrize("name", EXPECTED)
def test_a_step_reads_back_what_is_named_here_alone(name: str, asked: dict[str, Asked]) -> None:
    assert dict(asked[name].reads) == EXPECTED[name]
    assert asked[name].reads.keys() <= REASONS.keys()


def test_kernels_are_the_gpus(asked: dict[str, Asked]) -> None:
    """No map in oneDNN's blocks, no kernel without source in CUDA."""
    assert asked.keys() == EXPECTED.keys()
    without = {
        name: [kernel for kernel in step.kernels if not kernel.get("cuda_src")]
        for name, step in asked.items()
    }
    assert {name: kernels for name, kernels in without.items() if kernels} == {}
    assert all(step.kernels for step in asked.values())
