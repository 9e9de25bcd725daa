"""Recorded kernels: the results of tensors, memory that is shared, Python's lock released."""

from __future__ import annotations

import time
from threading import Thread
from typing import Any

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from unidet.ops import onednn
from unidet.ops.blocked_inference import flatten_cells, interleave_channels, resize_bilinear
from unidet.ops.blocked_maps import LANES, can_block
from unidet.ops.blocked_pools import max_pool, resize_nearest
from unidet.ops.recording import Recording, join, memory_for

pytestmark = pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")


def new(*shape: int) -> Recording:
    return Recording(onednn.load(), shape)


def finish(recording: Recording, output: Any) -> None:
    recording.lay_out(output)
    recording.settle(memory_for(recording.numbers))


def some_maps(feats: Any) -> Any:
    """A map that is joined twice, one that is joined with itself, the input, parts of parts."""
    small = max_pool(feats)
    large = resize_bilinear(small, (5, 6))
    both = join([large, interleave_channels(large, feats, 16, 0, 16)], 1)
    levels = [join([both, large, large, feats], 1), resize_nearest(both, (2, 1))]
    cells = [flatten_cells(level, 20) for level in levels]
    return join([*cells, cells[0]], 1)


@pytest.mark.parametrize("images", [1, 3])
def test_the_results_of_tensors(images: int) -> None:
    """More than once, of different images."""
    recording = new(images, 1, 5, 6, LANES)
    finish(recording, some_maps(recording.input))
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal((images, 1, 5, 6, LANES)).astype(np.float32)
        assert_array_equal(recording.repeat(values), some_maps(jt.array(values)).numpy())


def test_an_input_that_is_also_the_output() -> None:
    recording = new(1, 4)
    finish(recording, recording.input)
    assert recording.repeat(np.arange(4, dtype=np.float32)[None]).tolist() == [[0, 1, 2, 3]]


def test_maps_share_memory_when_they_are_not_needed_together() -> None:
    """Of a chain, two of a kind at a time; what is joined is no copy."""
    recording = new(1, 1, 4, 4, LANES)
    feats = recording.input
    for _ in range(5):
        feats = resize_nearest(feats, (4, 4))
    finish(recording, feats)
    assert recording.numbers == 2 * 4 * 4 * LANES
    recording = new(1, 1, 4, 4, LANES)
    parts = [resize_nearest(recording.input, (4, 4)) for _ in range(3)]
    finish(recording, join(parts, 1))
    assert recording.numbers == 4 * 4 * 4 * LANES


def test_only_kernels_take_recorded_maps() -> None:
    feats = new(1, 1, 4, 4, LANES).input
    for operation in (lambda: feats + 1, lambda: jt.exp(feats), lambda: jt.array(feats)):
        with pytest.raises((TypeError, RuntimeError, ValueError)):
            operation()


def test_other_threads_run_meanwhile() -> None:
    recording = new(1, 8, 400, 400, LANES)
    feats = recording.input
    for _ in range(30):
        feats = resize_bilinear(feats, (400, 400))
    finish(recording, feats)
    images = np.zeros(feats.shape, np.float32)
    times = []

    def repeat() -> None:
        times.append(time.perf_counter())
        recording.repeat(images)
        times.append(time.perf_counter())

    thread, seen = Thread(target=repeat), []
    thread.start()
    while thread.is_alive():
        seen.append(time.perf_counter())
        time.sleep(0.001)
    begin, end = times
    middle = (begin + (end - begin) * share for share in (0.25, 0.75))
    low, high = middle
    assert any(low < moment < high for moment in seen)
