"""What the second stage's trace does around the network, against plain loops and by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.unidetector_r50_c4 import (
    compared_classes,
    given_samples,
    logged_accuracy,
    post_processed,
)

SIZE = (60, 90)


def inputs(**arrays: Any) -> Inputs:
    return Inputs({name: np.asarray(array) for name, array in arrays.items()}, "in.npz")


@pytest.fixture
def regions() -> dict[str, np.ndarray]:
    """Twelve overlapping regions, some beyond the image, with logits of seven names."""
    rng = np.random.RandomState(3)
    centres, sides = rng.uniform(15, 60, (12, 2)), rng.uniform(15, 60, (12, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    logits = np.pad(rng.normal(-2, 3, (12, 7)), ((0, 0), (0, 1)))
    scores = rng.uniform(0.1, 0.9, (12, 1))
    arrays = {"boxes": boxes, "logits": logits, "proposals": np.concatenate([boxes, scores], 1)}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def soft_nms(boxes: np.ndarray, scores: np.ndarray, limit: int) -> list[tuple[int, float, int]]:
    """mmcv's gaussian soft-NMS over fewer than 10,000 candidates: (class, score, region), best
    `limit` by score, then listed by class."""
    left = {
        (region, label): float(scores[region, label])
        for region, label in np.argwhere(scores > 1e-4).tolist()
    }
    picked = []
    while left:
        (region, label), score = max(left.items(), key=lambda item: item[1])
        del left[region, label]
        picked.append((label, score, region))
        for other, name in list(left):
            if name == label:
                x1, y1 = np.maximum(boxes[region, :2], boxes[other, :2])
                x2, y2 = np.minimum(boxes[region, 2:], boxes[other, 2:])
                shared = max(x2 - x1, 0) * max(y2 - y1, 0)
                areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in boxes[[region, other]]]
                iou = shared / (sum(areas) - shared)
                left[other, name] *= math.exp(-(iou**2) / 0.5)
            if left[other, name] < 1e-3:
                del left[other, name]
    best = sorted(picked, key=lambda pick: -pick[1])[:limit]
    return sorted(best, key=lambda pick: pick[0])


def assert_detections(
    tensors: dict[str, np.ndarray], boxes: np.ndarray, scores: np.ndarray, limit: int
) -> None:
    np.testing.assert_allclose(tensors["nms_in_boxes"], boxes, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(tensors["nms_in_scores"][:, :-1], scores, rtol=1e-5)
    expected = soft_nms(boxes, scores, limit)
    assert 40 < len(expected) < limit
    rows = np.array([[*boxes[region], score, label] for label, score, region in expected])
    np.testing.assert_allclose(tensors["detections"], rows, rtol=1e-5, atol=1e-4)


def clipped(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes, 0, [SIZE[1], SIZE[0]] * 2)


def test_the_head_of_coco(regions: dict[str, np.ndarray]) -> None:
    arrays = inputs(scale_factor=[2.0, 1.5, 2.0, 1.5])
    tensors = post_processed(
        regions["boxes"], regions["logits"], regions["proposals"][:, :4], SIZE, arrays
    )
    scores = 1 / (1 + np.exp(-regions["logits"].astype(np.float64)))
    assert_detections(tensors, clipped(regions["boxes"]) / [2, 1.5, 2, 1.5], scores[:, :-1], 100)
    np.testing.assert_array_equal(
        tensors["nms_in_scores"][:, -1], 0.5
    )  # the background's logit is 0


def test_the_head_of_the_open_world(regions: dict[str, np.ndarray]) -> None:
    tensors = post_processed(
        regions["boxes"], regions["logits"], regions["proposals"], SIZE, inputs()
    )
    scores = 1 / (1 + np.exp(-regions["logits"].astype(np.float64)))
    fused = scores**0.3 * regions["proposals"][:, 4:].astype(np.float64) ** 0.7
    assert_detections(tensors, clipped(regions["boxes"]), fused[:, :-1], 300)
    np.testing.assert_allclose(tensors["nms_in_scores"][:, -1], fused[:, -1], rtol=1e-5)


def test_the_calibrated_head(regions: dict[str, np.ndarray]) -> None:
    counts = np.array([1, 10, 100, 5, 7, 300, 2])
    arguments = (regions["boxes"], regions["logits"], regions["proposals"], SIZE)
    tensors = post_processed(*arguments, inputs(cnum=counts))
    scores = 1 / (1 + np.exp(-regions["logits"][:, :-1].astype(np.float64)))
    weights = counts**-0.6
    fused = (scores * weights / weights.mean()) ** 0.3 * regions["proposals"][:, 4:] ** 0.7
    assert_detections(tensors, clipped(regions["boxes"]), fused, 300)
    with pytest.raises(UserError, match=r"cnum has shape \(6,\), must be \(7,\)"):
        post_processed(*arguments, inputs(cnum=counts[1:]))


def test_a_class_never_detected_silences_all_others_as_officially(
    regions: dict[str, np.ndarray],
) -> None:
    """The official weight of such a class is infinite: it scores NaN, every other class 0."""
    tensors = post_processed(
        regions["boxes"],
        regions["logits"],
        regions["proposals"],
        SIZE,
        inputs(cnum=[1, 10, 0, 5, 7, 300, 2]),
    )
    assert np.isnan(tensors["nms_in_scores"][:, 2]).all()
    assert not tensors["nms_in_scores"][:, [0, 1, 3, 4, 5, 6]].any()
    assert tensors["detections"].shape == (0, 6)


def network(*counts: int) -> Any:
    return SimpleNamespace(classifier=SimpleNamespace(class_counts=counts))


def trained(**changes: Any) -> Inputs:
    """Two images of datasets 1 and 0, with 5 and 3 names; 5 marks background in both."""
    values = {
        "img": np.zeros((2, 3, 8, 8)),
        "rois": [[0, 0, 0, 4, 4], [0, 1, 1, 5, 5], [1, 0, 0, 4, 4], [1, 2, 2, 6, 6]],
        "roi_tgt/labels": [4, 5, 2, 5],
        "roi_tgt/bbox_targets": np.zeros((4, 4)),
        "dataset_ids": [1, 0],
        "fed_sampled0": [0, 3],
        "fed_sampled1": [3],
    }
    arrays = inputs(**{k: v for k, v in (values | changes).items() if v is not None})
    arrays.take("img", "N", 3, "H", "W")
    return arrays


def test_samples_of_the_partitioned_head() -> None:
    head, arrays = network(3, 5), trained()
    samples = given_samples(head, arrays, 2)
    assert samples.labels_R.tolist() == [4, 5, 2, 3]  # background is the own dataset's count
    classes = compared_classes(head, arrays, samples)
    assert [part.tolist() for part in classes] == [[0, 3, 4], [2]]  # 3 is background there


def test_samples_of_one_dataset_are_compared_with_one_choice() -> None:
    arrays = trained(dataset_ids=None, fed_sampled=[0, 1], fed_sampled0=None)
    samples = given_samples(network(5), arrays, 2)
    classes = compared_classes(network(5), arrays, samples)
    assert [part.tolist() for part in classes] == [[0, 1, 2, 4]] * 2


def test_no_names_are_drawn_where_enough_occur() -> None:
    labels = np.append(np.arange(49), 60)  # 49 names and background
    arrays = trained(
        **{
            "img": np.zeros((1, 3, 8, 8)),
            "rois": np.zeros((50, 5)),
            "roi_tgt/labels": labels,
            "roi_tgt/bbox_targets": np.zeros((50, 4)),
            "dataset_ids": None,
            "fed_sampled0": None,
        }
    )
    samples = given_samples(network(60), arrays, 1)
    (classes,) = compared_classes(network(60), arrays, samples)
    np.testing.assert_array_equal(classes, np.arange(49))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"dataset_ids": [0, 2]}, "dataset_ids must be 0 .. 1"),
        ({"dataset_ids": [0]}, r"dataset_ids has shape \(1,\), must be \(N,\), N = 2"),
        ({"rois": np.full((4, 5), 2)}, "rois must start with an image's number, 0 .. 1"),
        ({"rois": np.zeros((0, 5)), "roi_tgt/labels": []}, "rois must start with"),
        ({"rois": None}, r"lacks rois \(R, 5\)"),
        ({"roi_tgt/labels": [4, 5, 4, 5]}, "labels that their datasets do not have"),
        ({"roi_tgt/labels": [4, 5, 2]}, r"roi_tgt/labels has shape \(3,\), must be \(R,\), R = 4"),
        ({"fed_sampled0": None}, r"lacks fed_sampled0"),
        ({"fed_sampled0": [6]}, "fed_sampled0 must hold class numbers 0 .. 5"),
    ],
)
def test_what_training_refuses(changes: dict[str, Any], complaint: str) -> None:
    head, arrays = network(3, 5), trained(**changes)
    with pytest.raises(UserError, match=f"in.npz: .*{complaint}"):
        compared_classes(head, arrays, given_samples(head, arrays, 2))


def test_accuracy_as_it_is_logged() -> None:
    """One dataset: rows whose best score is the label's. Several: every image is taken for one of
    the last image's dataset, with 512 rows."""
    scores = np.eye(6, dtype=np.float32)[[4, 5, 2, 0]]
    samples = given_samples(network(5), trained(dataset_ids=None), 2)
    assert logged_accuracy([scores], samples) == 75
    samples = given_samples(network(3, 5), trained(), 2)
    last = np.eye(4, dtype=np.float32)[[0, 3, 1, 3]]
    # Rows 1 and 3 are background and found so; the second image's rows 512 to 1023 do not exist.
    assert logged_accuracy([last, scores], samples) == 25
