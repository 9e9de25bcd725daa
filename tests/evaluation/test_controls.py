"""The controls with shuffled and with equal text, on a problem small enough to work by hand.

Image 1 holds object P, of name 1, and Q, of name 2; name 3 is known to be absent. Image 2 holds R,
of name 3; name 2 is known to be absent, of name 1 nothing is known. So detections of name 1 count
in image 1 only, those of names 2 and 3 in both.

One region lies on each object and has its name's embedding, an axis of its own. Proposal scores are
P 0.8, R 0.6, Q 0.4. Logits are 4 cos - 2: the probability of the name whose embedding a region has
is sigmoid(2) = 0.88, of others sigmoid(-2) = 0.12; a score is the root of probability times
proposal score, so that a name ranks the region with its embedding first (squares 0.70, 0.53, 0.35
for P, R, Q), and then the others in the order P, R, Q (0.10, 0.07, 0.05).

A name has one object, so its AP is 1 / (the rank of that object's region).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unidet.evaluation.controls import (
    derangement,
    equal_text,
    shuffled_text,
    text_controls,
)
from unidet.evaluation.detections import TextClassifier, detect_calibrated
from unidet.evaluation.lvis import evaluate_lvis
from unidet.evaluation.regions import Regions
from unidet.evaluation.soft_nms import Suppression
from unidet.formats.ground_truth import read_ground_truth

P, Q, R = [0, 0, 10, 10], [20, 20, 30, 30], [5, 5, 25, 25]
TEXT = TextClassifier.of(np.eye(3), np.array([1, 2, 3]), 4.0, -2.0)
REGIONS = [
    Regions(1, np.float32([P, Q]), np.float32([0.8, 0.4]), np.eye(3, dtype=np.float16)[:2]),
    Regions(2, np.float32([R]), np.float32([0.6]), np.eye(3, dtype=np.float16)[2:]),
]
NEXT, PREVIOUS = (1, 2, 0), (2, 0, 1)  # the derangements of three names
AP_NEXT = (1 / 2 + 1 / 3 + 1 / 2) / 3
AP_PREVIOUS = (1 + 1 / 3 + 1 / 3) / 3


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    boxes = [(1, 1, P), (1, 2, Q), (2, 3, R)]
    document = {
        "images": [
            {"id": 1, "width": 40, "height": 40, "neg_category_ids": [3]},
            {"id": 2, "width": 40, "height": 40, "neg_category_ids": [2]},
        ],
        "annotations": [
            {
                "id": place,
                "image_id": image,
                "category_id": name,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
            }
            for place, (image, name, (x1, y1, x2, y2)) in enumerate(boxes, start=1)
        ],
        "categories": [{"id": name, "name": f"name {name}"} for name in (1, 2, 3)],
    }
    for image in document["images"]:
        image["not_exhaustive_category_ids"] = []
    path = tmp_path_factory.mktemp("controls") / "truth.json"
    path.write_text(json.dumps(document))
    return path


def average_precision(annotations: Path, text: TextClassifier) -> float:
    detections = detect_calibrated(REGIONS, text, beta=0.5, gamma=0.0, suppression=Suppression())
    return evaluate_lvis(read_ground_truth(annotations), detections).metrics()["AP"]


def deranged(order: tuple[int, ...]) -> TextClassifier:
    return TextClassifier.of(np.eye(3)[list(order)], np.array([1, 2, 3]), 4.0, -2.0)


def test_the_right_text_ranks_every_object_first(annotations: Path) -> None:
    assert average_precision(annotations, TEXT) == pytest.approx(1)


def test_each_name_with_the_next_ones_embedding(annotations: Path) -> None:
    """Name 1 ranks Q, P: 1/2. Name 2 ranks R, P, Q: 1/3. Name 3 ranks P, R, Q: 1/2."""
    assert average_precision(annotations, deranged(NEXT)) == pytest.approx(AP_NEXT)


def test_each_name_with_the_previous_ones_embedding(annotations: Path) -> None:
    """Name 1 would rank R first, which does not count, then P: 1. Name 2 ranks P, R, Q: 1/3.

    Name 3 ranks Q, P, R: 1/3.
    """
    assert average_precision(annotations, deranged(PREVIOUS)) == pytest.approx(AP_PREVIOUS)


def test_equal_text_leaves_the_order_of_the_proposals(annotations: Path) -> None:
    """P, R, Q under every name. Name 1 (without R): 1. Name 2: 1/3. Name 3: 1/2."""
    expected = (1 + 1 / 3 + 1 / 2) / 3
    assert average_precision(annotations, equal_text(TEXT)) == pytest.approx(expected)


def test_shuffled_text_is_one_of_the_derangements() -> None:
    drawn = [shuffled_text(TEXT, seed) for seed in range(20)]
    orders = {tuple(text.text_embeddings.argmax(axis=1).tolist()) for text in drawn}
    assert orders == {NEXT, PREVIOUS}
    assert all(text.category_ids.tolist() == [1, 2, 3] for text in drawn)
    assert {(text.scale, text.bias) for text in drawn} == {(4.0, -2.0)}


def test_the_controls_of_this_problem(annotations: Path) -> None:
    controls = text_controls(TEXT, lambda text: average_precision(annotations, text))
    assert list(controls) == ["AP_shuffled_text", "AP_equal_text"]
    assert AP_NEXT - 1e-9 < controls["AP_shuffled_text"] < AP_PREVIOUS + 1e-9
    assert controls["AP_equal_text"] == pytest.approx(11 / 18)


def test_the_control_is_the_mean_over_five_different_shuffles() -> None:
    values = iter([0.1, 0.2, 0.3, 0.4, 0.6, 0.9])
    evaluated: list[np.ndarray] = []

    def next_value(text: TextClassifier) -> float:
        evaluated.append(text.text_embeddings)
        return next(values)

    many = TextClassifier.of(np.eye(50), np.arange(50))
    controls = text_controls(many, next_value)
    assert controls == {"AP_shuffled_text": pytest.approx(0.32), "AP_equal_text": 0.9}
    *shuffled, equal = evaluated
    assert len({array.tobytes() for array in shuffled}) == 5
    assert all((array.diagonal() == 0).all() and array.sum() == 50 for array in shuffled)
    assert not equal.any()


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_derangement_leaves_nothing_in_its_place(count: int) -> None:
    for seed in range(20):
        order = derangement(count, np.random.default_rng(seed))
        assert sorted(order.tolist()) == list(range(count))
        assert (order != np.arange(count)).all()


def test_a_single_name_keeps_its_embedding() -> None:
    assert derangement(1, np.random.default_rng(0)).tolist() == [0]
