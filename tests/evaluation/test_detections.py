"""From regions to detections, sweeps and tables, on scenes small enough to work by hand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.evaluation import detections as detections_module
from unidet.evaluation.calibration import calibration_weights, prior_counts
from unidet.evaluation.calibration_grid import sweep
from unidet.evaluation.detections import (
    Scoring,
    TextClassifier,
    calibrated,
    detect,
    detect_best_of_categories,
)
from unidet.evaluation.lvis import evaluate_lvis, lvis_metrics
from unidet.evaluation.per_category import per_category_table
from unidet.evaluation.regions import Regions
from unidet.evaluation.soft_nms import Suppression
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results, write_results
from unidet.records import GroundTruth

SUPPRESSION = Suppression()


def classifier() -> TextClassifier:
    """Two categories along the axes, of any length."""
    return TextClassifier.of(np.array([[3.0, 0.0], [0.0, 0.5]]), np.array([7, 5]), 2.0, -1.0)


def regions(image_id: int = 1) -> Regions:
    return Regions(
        image_id,
        np.array([[0, 0, 10.004, 10], [100.126, 50, 130, 90.5]], dtype=np.float32),
        np.array([0.81, 0.25], dtype=np.float32),
        np.array([[1, 0], [0.6, 0.8]], dtype=np.float16),
    )


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_detections_worked_by_hand() -> None:
    (detections,) = detect([regions(4)], classifier(), [Scoring(0.5)], SUPPRESSION)
    # probabilities: sigmoid(2 cos - 1); disjoint boxes, nothing decays
    expected = [
        (7, [0, 0, 10, 10], math.sqrt(sigmoid(1) * 0.81)),
        (5, [0, 0, 10, 10], math.sqrt(sigmoid(-1) * 0.81)),
        (5, [100.13, 50, 29.87, 40.5], math.sqrt(sigmoid(0.6) * 0.25)),
        (7, [100.13, 50, 29.87, 40.5], math.sqrt(sigmoid(0.2) * 0.25)),
    ]
    assert detections.image_ids.tolist() == [4] * 4
    assert detections.category_ids.tolist() == [row[0] for row in expected]
    assert detections.boxes_xywh.tolist() == [row[1] for row in expected]
    # embeddings of half precision
    np.testing.assert_allclose(detections.scores, [row[2] for row in expected], rtol=1e-3)
    assert detections.scores.dtype == np.float32


@pytest.mark.parametrize("per_selection", [0, 1_000_000])
def test_the_best_of_categories_over_all_images(
    per_selection: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three equal images the first; no image is limited, though the suppression says one."""
    monkeypatch.setattr("unidet.evaluation.detections.DETECTIONS_PER_SELECTION", per_selection)
    images = [regions(4), regions(2), regions(3)]
    limited = Suppression(max_per_image=1)
    best = detect_best_of_categories(images, classifier(), Scoring(0.5), limited, 1)
    assert best.image_ids.tolist() == [4, 4]
    assert best.category_ids.tolist() == [7, 5]
    expected = [math.sqrt(sigmoid(1) * 0.81), math.sqrt(sigmoid(-1) * 0.81)]
    np.testing.assert_allclose(best.scores, expected, rtol=1e-3)
    four = detect_best_of_categories(images, classifier(), Scoring(0.5), limited, 4)
    assert np.bincount(four.category_ids)[[5, 7]].tolist() == [4, 4]


def test_calibration_uses_the_counts_of_the_uncalibrated_detections() -> None:
    images = [regions(1), regions(2)]
    limited = Suppression(max_per_image=3)
    plain = [Scoring(0.5)]
    assert calibrated(images, classifier(), plain, 0, limited) == plain
    (raw,) = detect(images, classifier(), plain, limited)
    # of each image the three best: category 5 twice, category 7 once
    assert prior_counts(raw.category_ids, np.array([7, 5])).tolist() == [2, 4]
    weights = calibration_weights(np.array([2, 4]), 0.6)
    (expected,) = detect(images, classifier(), [Scoring(0.5, weights)], limited)
    scorings = calibrated(images, classifier(), plain, 0.6, limited)
    (detections,) = detect(images, classifier(), scorings, limited)
    assert np.array_equal(detections.scores, expected.scores)
    # with 1/2^.6 against 1/4^.6 the first category gains what the second loses
    assert weights[0] / weights[1] == pytest.approx(2**0.6)
    assert detections.scores[0] == pytest.approx(
        math.sqrt(sigmoid(1) * float(weights[0]) * 0.81), rel=1e-3
    )


def test_an_inverted_box_has_size_zero() -> None:
    inverted = Regions(1, np.array([[9, 9, 4, 20.5]]), np.ones(1), np.array([[1.0, 0.0]]))
    (detections,) = detect([inverted], classifier(), [Scoring(0.5)], SUPPRESSION)
    assert detections.boxes_xywh.tolist() == [[9, 9, 0, 11.5]] * 2


def test_extreme_logits_stay_finite() -> None:
    steep = TextClassifier.of(np.eye(2), np.array([1, 2]), 1e4, 0)
    probabilities = steep.probabilities(np.array([[1.0, -1.0]]))
    assert probabilities[0, 0] == 1
    assert 0 < probabilities[0, 1] < 1e-30


def test_a_text_embedding_of_zeros_gives_the_bias_alone() -> None:
    zeros = TextClassifier.of(np.zeros((1, 2)), np.array([1]), 100.0, -2.0)
    assert zeros.probabilities(np.array([[0.6, 0.8]]))[0, 0] == pytest.approx(sigmoid(-2))


def test_no_regions_and_no_images() -> None:
    empty = Regions(
        3, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float16)
    )
    (none,) = detect([empty], classifier(), [Scoring(0.3)], SUPPRESSION)
    assert len(none) == 0
    (mixed,) = detect([empty, regions(8)], classifier(), [Scoring(0.3)], SUPPRESSION)
    assert set(mixed.image_ids.tolist()) == {8}
    (none,) = detect([], classifier(), [Scoring(0.3)], SUPPRESSION)
    assert len(none) == 0


def test_embeddings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(3, 2\) but the vocabulary has 2"):
        TextClassifier.of(np.ones((3, 2)), np.array([1, 2]))
    with pytest.raises(UserError, match="NaN"):
        TextClassifier.of(np.full((1, 2), np.nan), np.array([1]))
    with pytest.raises(UserError, match="2 dimensions and text embeddings 3"):
        TextClassifier.of(np.ones((1, 3)), np.array([1])).probabilities(np.ones((4, 2)))


class Scene:
    """Images that can be passed over again and again, and counts how often they were."""

    def __init__(self, images: list[Regions]) -> None:
        self.images, self.passes = images, 0

    def __iter__(self) -> Iterator[Regions]:
        self.passes += 1
        return iter(self.images)


def scene(truth: GroundTruth, count: int) -> tuple[Scene, TextClassifier]:
    rng = np.random.default_rng(0)
    text = TextClassifier.of(
        rng.normal(size=(len(truth.category_ids), 16)), truth.category_ids, 20.0, -6.0
    )
    images = []
    for row, image_id in enumerate(truth.image_ids.tolist()):
        here = np.flatnonzero(truth.image_rows == row)
        if not len(here):
            continue
        truths = rng.choice(here, count)
        boxes = truth.boxes_xywh[truths] + rng.normal(0, 3, (count, 4))
        boxes[:, 2:] += boxes[:, :2]
        embeddings = text.text_embeddings[truth.category_rows[truths]]
        embeddings = embeddings + rng.normal(0, 0.2, embeddings.shape)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        images.append(Regions(image_id, boxes.astype(np.float32), rng.random(count), embeddings))
    return Scene(images), text


def test_a_sweep_equals_its_settings_run_one_by_one(make_world: Callable, tmp_path: Path) -> None:
    truth = read_ground_truth(make_world(3, images=10).write()[0])
    images, text = scene(truth, 12)
    limited = Suppression(max_per_image=40)
    table = sweep(
        images,
        text,
        truth,
        gammas=[0, 0.6],
        betas=[0.3, 1],
        caps=[2, 40],
        suppression=limited,
    )
    assert images.passes == 2
    assert len(table) == 8
    for row in table.to_dict("records"):
        scorings = calibrated(images, text, [Scoring(row["beta"])], row["gamma"], limited)
        (detections,) = detect(images, text, scorings, limited)
        path = tmp_path / "one.json"
        write_results(path, detections.top(int(row["cap"])))
        metrics = lvis_metrics(truth, read_results(path, truth))
        assert {key: row[key] for key in metrics} == metrics
    assert table["AP"].nunique() > 3
    with pytest.raises(ValueError, match="exceed max_per_image 40"):
        sweep(images, text, truth, gammas=[0], betas=[0.3], caps=[41], suppression=limited)


def test_a_sweep_of_48_settings_takes_seconds(make_world: Callable) -> None:
    truth = read_ground_truth(make_world(4, images=40, categories=72).write()[0])
    images, text = scene(truth, 100)
    start = time.process_time()
    table = sweep(
        images,
        text,
        truth,
        gammas=[0, 0.3, 0.6, 0.9],
        betas=[0.2, 0.3, 0.4, 0.5],
        caps=[10, 20, 300],
        suppression=SUPPRESSION,
    )
    assert len(table) == 48
    # a tenth of the images of the toy world, which may take 20 s
    assert time.process_time() - start < 4


def test_the_table_per_category(make_world: Callable) -> None:
    world = make_world(2)
    truth_path, results_path = world.write()
    truth = read_ground_truth(truth_path)
    novel = {number: row % 2 == 0 for row, number in enumerate(truth.category_ids.tolist())}
    evaluation = evaluate_lvis(truth, read_results(results_path, truth), novel)
    table = per_category_table(truth, evaluation)
    columns = ["id", "name", "frequency", "novel", "instances", "AP", "AP50", "AR"]
    assert list(table.columns) == columns
    assert table["id"].tolist() == sorted(record["id"] for record in world.truth["categories"])
    metrics = evaluation.metrics()
    assert table["AP"].mean() == pytest.approx(metrics["AP"])
    assert table["AP50"].mean() == pytest.approx(metrics["AP50"])
    assert table["AR"].mean() == pytest.approx(metrics["AR@300"])
    assert table[table["novel"]]["AP"].mean() == pytest.approx(metrics["AP_novel"])
    instances = dict(zip(table["id"], table["instances"], strict=True))
    labels = [record["category_id"] for record in world.truth["annotations"]]
    assert instances == {number: labels.count(number) for number in truth.category_ids.tolist()}
    unknown = per_category_table(truth, evaluate_lvis(truth, read_results(results_path, truth)))
    assert unknown["novel"].isna().all()


@pytest.mark.parametrize("split", [0, 10_000])
@pytest.mark.parametrize("limit", [5, 10_000])
@pytest.mark.parametrize("method", ["soft", "hard", "none"])
def test_names_in_blocks_are_found_as_all_at_once(
    monkeypatch: pytest.MonkeyPatch, method: str, limit: int, split: int
) -> None:
    """Equal in every digit: embeddings along the axes, whose products nothing rounds."""
    rng = np.random.default_rng(0)
    axes = np.eye(4)[rng.integers(0, 4, 10)] * rng.choice([0, 0.5, 1], (10, 1))
    names = TextClassifier(axes.astype(np.float32), np.arange(10) + 1, 16.0, -12.0)
    corners = rng.uniform(0, 40, (12, 2))
    boxes = np.concatenate([corners, corners + 20], axis=1).astype(np.float32)
    embeddings = np.eye(4)[rng.integers(0, 4, 12)].astype(np.float16)
    images = [Regions(7, boxes, rng.uniform(0, 1, 12).astype(np.float32), embeddings)]
    images.append(Regions(8, *(part[:0] for part in (boxes, np.zeros(1, np.float32), embeddings))))
    weights = rng.uniform(0.5, 2, 10).astype(np.float32)
    carried = np.array([3, -1, 0, 9, 8, 1, -1, 2, 5, 4])
    scorings = [Scoring(0.5), Scoring(1.0, weights), Scoring(0.3, weights, carried)]
    rule = Suppression(method=method, max_per_image=limit, split_threshold=split)  # type: ignore[arg-type]
    whole = list(detect(images, names, scorings, rule))
    monkeypatch.setattr(detections_module, "NAMES_AT_ONCE", 3)
    assert sum(map(len, whole)) > 10
    for blocks, expected in zip(detect(images, names, scorings, rule), whole, strict=True):
        for column in ("image_ids", "category_ids", "boxes_xywh", "scores"):
            np.testing.assert_array_equal(getattr(blocks, column), getattr(expected, column))
