"""Denoising queries: from the recorded draws, and worked by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unidet.models.matcher import Targets
from unidet.models.rtdetr.denoising import (
    Noise,
    box_logits,
    denoising_queries,
    groups_for,
    noise_shape,
)


@pytest.mark.parametrize("step", ["t30", "t32"])
def test_equal_to_the_recording(
    step: str,
    transformer_recording: Callable,
    recorded_targets: Callable,
    recorded_noise: Callable,
) -> None:
    recording = transformer_recording("rtdetr_r18vd_train")
    targets = recorded_targets(recording, step)
    assert noise_shape(targets) == (2, 198)
    denoising = denoising_queries(targets, 80, recorded_noise(recording, step))
    np.testing.assert_array_equal(denoising.labels, recording[f"{step}/dn/labels_noised"])
    np.testing.assert_allclose(denoising.references, recording[f"{step}/dn/bbox_unact"], atol=1e-6)
    np.testing.assert_array_equal(denoising.mask(300), recording[f"{step}/dn/attn_mask"])
    assert denoising.groups == recording[f"{step}/dn/num_group"]
    for image in (0, 1):
        of_image = denoising.matches.images == image
        for side, ours in (("src", denoising.matches.queries), ("tgt", denoising.matches.truths)):
            recorded = recording[f"{step}/match/dn/img{image}_{side}"]
            np.testing.assert_array_equal(ours[of_image], recorded)


def test_groups() -> None:
    """As many groups as give about 100 positives, at least one; none without boxes."""
    assert [groups_for(count) for count in (0, 1, 3, 60, 100, 250)] == [0, 100, 33, 1, 1, 1]


def test_one_box_by_hand() -> None:
    """Box (0.5, 0.5, 0.2, 0.4), corners 0.4, 0.3, 0.6, 0.7, half sides 0.1, 0.2. Positive: the left
    side moves by 0.5 halves to 0.45. Negative: it moves by -(1 + 0.5) halves to 0.25, the others by
    -1 half to 0.1, 0.5, 0.5. A label is replaced below a draw of 0.25."""
    targets = Targets([np.array([7])], [np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)])
    shape = noise_shape(targets)
    assert shape == (1, 200)
    amounts = np.zeros((*shape, 4), np.float32)
    amounts[0, :2, 0] = 0.5
    signs = np.ones((*shape, 4), np.int64)
    signs[0, 1] = 0
    draws = np.full(shape, 0.25, np.float32)
    draws[0, 1] = 0.2499
    denoising = denoising_queries(targets, 80, Noise(draws, np.full(shape, 3), signs, amounts))
    boxes = 1 / (1 + np.exp(-denoising.references[0]))
    np.testing.assert_allclose(boxes[0], [0.525, 0.5, 0.15, 0.4], atol=1e-6)
    np.testing.assert_allclose(boxes[1], [0.375, 0.3, 0.25, 0.4], atol=1e-6)
    assert denoising.labels[0, :3].tolist() == [7, 3, 7]
    assert denoising.matches.queries[:3].tolist() == [0, 2, 4]


def test_logits_stop_at_a_floor() -> None:
    """log(1e-5 / 1) = -11.5129."""
    denoising = box_logits(np.array([0, 0.5, 1, -3, 2], np.float32))
    np.testing.assert_allclose(denoising, [-11.5129, 0, 11.5129, -11.5129, 11.5129], atol=1e-4)
