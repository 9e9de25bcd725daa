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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from unidet.evaluation.controls import carried_by_controls, control_metrics, derangement
from unidet.evaluation.detections import Scoring, TextClassifier, detect
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


def average_precisions(
    annotations: Path, carried: Sequence[Sequence[int] | np.ndarray | None]
) -> list[float]:
    scorings = [Scoring(0.5, carried=None if c is None else np.array(c)) for c in carried]
    truth = read_ground_truth(annotations)
    runs = detect(REGIONS, TEXT, scorings, Suppression())
    return [evaluate_lvis(truth, detections).metrics()["AP"] for detections in runs]


def test_the_right_text_ranks_every_object_first(annotations: Path) -> None:
    assert average_precisions(annotations, [None]) == [pytest.approx(1)]


def test_each_name_with_another_ones_embedding(annotations: Path) -> None:
    """The next one's: name 1 ranks Q, P: 1/2. Name 2 ranks R, P, Q: 1/3. Name 3 ranks P, R, Q: 1/2.

    The previous one's: name 1 would rank R first, which does not count, then P: 1. Name 2 ranks
    P, R, Q: 1/3. Name 3 ranks Q, P, R: 1/3.
    """
    expected = [pytest.approx(AP_NEXT), pytest.approx(AP_PREVIOUS)]
    assert average_precisions(annotations, [NEXT, PREVIOUS]) == expected


def test_equal_text_leaves_the_order_of_the_proposals(annotations: Path) -> None:
    """P, R, Q under every name. Name 1 (without R): 1. Name 2: 1/3. Name 3: 1/2."""
    expected = (1 + 1 / 3 + 1 / 2) / 3
    assert average_precisions(annotations, [(-1, -1, -1)]) == [pytest.approx(expected)]


def test_what_is_carried_is_what_a_classifier_of_it_says(annotations: Path) -> None:
    vectors = np.concatenate([np.eye(3)[list(NEXT[:2])], np.zeros((1, 3))])
    other = TextClassifier.of(vectors, np.array([1, 2, 3]), 4.0, -2.0)
    (expected,) = detect(REGIONS, other, [Scoring(0.5)], Suppression())
    carried = Scoring(0.5, carried=np.array([*NEXT[:2], -1]))
    (detections,) = detect(REGIONS, TEXT, [carried], Suppression())
    assert detections.category_ids.tolist() == expected.category_ids.tolist()
    np.testing.assert_array_equal(detections.scores, expected.scores)


def test_the_controls_of_this_problem(annotations: Path) -> None:
    controls = control_metrics(average_precisions(annotations, carried_by_controls(3)))
    assert list(controls) == ["AP_shuffled_text", "AP_equal_text"]
    assert AP_NEXT - 1e-9 < controls["AP_shuffled_text"] < AP_PREVIOUS + 1e-9
    assert controls["AP_equal_text"] == pytest.approx(11 / 18)


def test_the_control_is_the_mean_over_five_different_shuffles() -> None:
    *shuffled, equal = carried_by_controls(50)
    assert len({rows.tobytes() for rows in shuffled}) == 5
    assert all(sorted(rows.tolist()) == list(range(50)) for rows in shuffled)
    assert not any((rows == np.arange(50)).any() for rows in shuffled)
    assert equal.tolist() == [-1] * 50
    controls = control_metrics([0.1, 0.2, 0.3, 0.4, 0.6, 0.9])
    assert controls == {"AP_shuffled_text": pytest.approx(0.32), "AP_equal_text": 0.9}


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_derangement_leaves_nothing_in_its_place(count: int) -> None:
    for seed in range(20):
        order = derangement(count, np.random.default_rng(seed))
        assert sorted(order.tolist()) == list(range(count))
        assert (order != np.arange(count)).all()


def test_a_single_name_keeps_its_embedding() -> None:
    assert derangement(1, np.random.default_rng(0)).tolist() == [0]
