"""RoI sampling and the federated choice of names, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batches import make_batch

from unidet.models.roi_samples import RoiSamples, class_weights, draw_classes, sample_rois
from unidet.records import Batch


def batch(
    boxes: list, labels: list, proposals: list | None, datasets: tuple[int, ...] = (0,)
) -> Batch:
    return make_batch((32, 32), boxes, labels, datasets=datasets, proposals=proposals)


def sampled(training_batch: Batch, counts: tuple[int, ...], count: int = 8) -> RoiSamples:
    stream = np.random.default_rng(0)
    return sample_rois(training_batch, counts, stream, count=count, positive_fraction=0.5)


def test_boxes_then_matching_proposals_then_background() -> None:
    training_batch = batch(
        [[[0, 0, 10, 10], [10, 10, 30, 20]]],
        [[4, 2]],
        # IoU 0.5 with the first box exactly, none, 0.8 with the second, just below 0.5.
        [[[0, 0, 10, 5, 0.9], [0, 20, 8, 30, 0.8], [10, 10, 26, 20, 0.7], [0, 0, 10, 4.9, 0.6]]],
    )
    samples = sampled(training_batch, (5,))
    assert samples.rois_R5.dtype == np.float32
    np.testing.assert_array_equal(
        samples.rois_R5[:, 1:],
        np.array(
            [
                [0, 0, 10, 10],
                [10, 10, 30, 20],
                [0, 0, 10, 5],
                [10, 10, 26, 20],
                [0, 20, 8, 30],
                [0, 0, 10, 4.9],
            ],
            np.float32,
        ),
    )
    assert samples.labels_R.tolist() == [4, 2, 4, 2, 5, 5]
    expected = np.zeros((6, 4))
    expected[2] = [0, 0.5 / 0.1, 0, np.log(2) / 0.2]
    expected[3] = [2 / 16 / 0.1, 0, np.log(20 / 16) / 0.2, 0]
    np.testing.assert_allclose(samples.targets_R4, expected, atol=1e-5)


def test_labels_of_background_are_the_own_datasets_count() -> None:
    proposal = [[0, 0, 5, 5, 1]]
    training_batch = batch([[], [[20, 20, 30, 30]]], [[], [0]], [proposal, proposal], (1, 0))
    samples = sampled(training_batch, (3, 7))
    assert samples.images_R.tolist() == [0, 1, 1]
    assert samples.labels_R.tolist() == [7, 0, 3]
    assert samples.datasets_N.tolist() == [1, 0]


def test_quota() -> None:
    boxes = [[i, 0, i + 1, 1] for i in range(6)]
    far = [[i, 20, i + 1, 21, 1] for i in range(6)]
    samples = sampled(batch([boxes], [[0] * 6], [far]), (1,), count=8)
    assert samples.labels_R.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    few = sampled(batch([boxes[:1]], [[0]], [far]), (1,), count=8)
    assert few.labels_R.tolist() == [0] + [1] * 6


def test_nothing_to_sample() -> None:
    samples = sampled(batch([[]], [[]], [[]]), (3,))
    assert samples.rois_R5.shape == (0, 5)
    assert samples.labels_R.shape == (0,)
    assert samples.targets_R4.shape == (0, 4)


def test_degenerate_background_proposals_have_finite_targets() -> None:
    samples = sampled(batch([[[0, 0, 9, 9]]], [[0]], [[[0, 0, 0, 0, 1], [9, 9, 4, 4, 1]]]), (1,))
    assert samples.labels_R.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(samples.targets_R4, 0)


def test_faulty_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="no proposals"):
        sampled(batch([[]], [[]], None), (3,))
    with pytest.raises(ValueError, match=r"image 0 .* labels 3 \.\. 3, its dataset 3 names"):
        sampled(batch([[[0, 0, 9, 9]]], [[3]], [[]]), (3,))


def labelled(labels: list[list[int]], datasets: list[int]) -> RoiSamples:
    images = np.repeat(np.arange(len(labels)), [len(part) for part in labels])
    rois = np.zeros((len(images), 5), np.float32)
    rois[:, 0] = images
    return RoiSamples(
        rois_R5=rois,
        labels_R=np.concatenate(labels).astype(np.int64),
        targets_R4=np.zeros((len(images), 4), np.float32),
        datasets_N=np.array(datasets),
    )


def drawn(samples: RoiSamples, counts: tuple, count: int, allowed: list | None = None) -> list:
    allowed = allowed or [None] * len(counts)
    stream = np.random.default_rng(5)
    classes = draw_classes(samples, counts, stream, count=count, allowed=allowed)
    return [part.tolist() for part in classes]


def test_one_dataset_draws_once_for_the_batch() -> None:
    samples = labelled([[1, 9], [7, 9]], [0, 0])
    first, second = drawn(samples, (9,), 5)
    assert first == second
    # 1, 7 and the background are present, two of the other seven are drawn.
    assert {1, 7} < set(first)
    assert len(first) == 4
    assert drawn(samples, (9,), 3) == [[1, 7], [1, 7]]
    assert drawn(samples, (9,), 50) == [list(range(9))] * 2


def test_processes_draw_the_same_names_from_the_labels_of_all() -> None:
    halves = labelled([[1, 9]], [0]), labelled([[7, 9]], [0])
    present = np.isin(np.arange(10), [1, 7, 9])
    of_halves = [
        draw_classes(
            half,
            (9,),
            np.random.default_rng(5),
            count=5,
            allowed=[None],
            anywhere=lambda flags: flags | present,
        )
        for half in halves
    ]
    whole = drawn(labelled([[1, 9], [7, 9]], [0, 0]), (9,), 5)
    assert [[part.tolist() for part in classes] for classes in of_halves] == [whole[:1]] * 2


def test_several_datasets_draw_for_each_image() -> None:
    samples = labelled([[1, 9], [0, 0], [2, 3]], [0, 1, 1])
    only_present = drawn(samples, (9, 3), 1)
    assert only_present == [[1], [0], [2]]
    everything = drawn(samples, (9, 3), 50)
    assert everything == [list(range(9)), [0, 1, 2], [0, 1, 2]]
    assert drawn(samples, (9, 3), 50, [np.arange(9) < 2, None])[0] == [0, 1]


def test_regions_of_one_dataset_weigh_the_same() -> None:
    samples = labelled([[1, 3], [3]], [0, 0])
    (weights,) = class_weights(samples, (3,), [np.array([0, 1])] * 2, 4)
    np.testing.assert_array_equal(weights, [[1, 1, 0]] * 3 + [[0, 0, 0]])


def test_images_of_several_datasets_weigh_the_same() -> None:
    samples = labelled([[1, 3], [0], []], [0, 1, 0])
    classes = [np.array([1]), np.array([0, 1]), np.array([2])]
    first, second = class_weights(samples, (3, 2), classes, 3)
    np.testing.assert_array_equal(first, [[0, 0.5, 0], [0, 0.5, 0], [0, 0, 0]])
    np.testing.assert_array_equal(second, [[0, 0], [0, 0], [1, 1]])


def test_equal_to_the_recorded_draw(reference: Path) -> None:
    """Regions and targets of reference/goldens/stage2_coco.npz from its own random stream."""
    with np.load(reference / "reference/goldens/stage2_coco.npz") as arrays:
        golden = dict(arrays)
    training_batch = replace(
        batch([golden["gt"]], [golden["gt_labels"]], None), proposals=[golden["proposals"]]
    )
    stream = np.random.RandomState(123)
    samples = sample_rois(training_batch, [80], stream, count=512, positive_fraction=0.25)
    np.testing.assert_array_equal(samples.rois_R5, golden["train_rois"])
    np.testing.assert_array_equal(samples.labels_R, golden["roi_tgt/labels"])
    np.testing.assert_allclose(samples.targets_R4, golden["roi_tgt/bbox_targets"], atol=1e-6)
