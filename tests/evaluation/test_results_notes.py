"""What is said of results beside their metrics; numbers are counted by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from unidet.evaluation.results_notes import doubt, notes_of
from unidet.records import Detections, GroundTruth


def truth_of(*boxes: tuple[int, int], crowds: tuple[int, ...] = ()) -> GroundTruth:
    """Images 1 to 4, categories 1 to 4, and a box for each (image, category); each in a place of
    its own within its image."""
    rows = np.array(boxes, dtype=np.int64).reshape(-1, 2) - 1
    count = len(rows)
    is_crowd = np.isin(np.arange(count), crowds)
    return GroundTruth(
        source="truth.json",
        image_ids=np.arange(1, 5),
        category_ids=np.arange(1, 5),
        category_names=("ant", "bee", "cat", "dog"),
        frequencies=(None,) * 4,
        novel=None,
        annotation_ids=np.arange(1, count + 1),
        image_rows=rows[:, 0],
        category_rows=rows[:, 1],
        boxes_xywh=np.array([[20.0 * row, 0, 10, 10] for row in range(count)]).reshape(-1, 4),
        areas=np.full(count, 100.0),
        is_crowd=is_crowd,
        is_ignored=np.zeros(count, bool),
        negatives=None,
        not_exhaustive=None,
    )


def found(truth: GroundTruth, rows: list[int], categories: list[int]) -> Detections:
    """Detections on the boxes at `rows`, with other categories; no two have the same score."""
    return Detections(
        truth.image_ids[truth.image_rows[rows]],
        np.array(categories, dtype=np.int64),
        truth.boxes_xywh[rows],
        np.linspace(0.9, 0.5, len(rows)),
    )


def test_detections_in_every_image_with_boxes_are_not_spoken_of() -> None:
    truth = truth_of((1, 1), (2, 2), (3, 1), crowds=(2,))
    assert not [*notes_of(truth, found(truth, [0, 1], [1, 2]), "coco")]


@pytest.mark.parametrize("style", ["coco", "lvis", "proposals"])
@pytest.mark.parametrize(
    ("least", "most", "count", "is_noted"),
    [
        (0.3, 0.9, 10, True),
        (0.1, 1, 10, True),
        (0.0999, 1, 10, False),
        (0.3, 0.9, 9, False),
        (30, 90, 10, False),
    ],
)
def test_scores_that_end_at_a_threshold(
    least: float, most: float, count: int, is_noted: bool, style: str
) -> None:
    """The official detectors' own threshold is 0.05; proposals are cut off by their number."""
    truth = truth_of(*((1, 1) for _ in range(10)))
    scores = np.linspace(most, least, count)
    detections = dataclasses.replace(found(truth, [*range(count)], [1] * count), scores=scores)
    notes = [note for note in notes_of(truth, detections, style) if "threshold" in note]
    assert len(notes) == (is_noted and style != "proposals")
    if notes:
        assert notes[0].startswith(f"no detection scores below {least:g}: if a threshold has cut")


@pytest.mark.parametrize("style", ["coco", "lvis", "proposals"])
def test_images_without_detections(style: str) -> None:
    truth = truth_of((1, 1), (2, 1), (2, 1), (4, 1))
    (note,) = notes_of(truth, found(truth, [0], [1]), style)
    assert note.startswith("2 × image with boxes, of 3, that has no detection: its boxes count as")
    assert "first image 2; if the results are of a part of the images, name that by --im" in note


@pytest.mark.parametrize("style", ["coco", "lvis"])
def test_categories_that_are_never_detected(style: str) -> None:
    """Of category 4 there is a crowd alone, whose AP is undefined."""
    truth = truth_of((1, 1), (1, 3), (2, 2), (2, 4), (2, 1), crowds=(3,))
    (note,) = notes_of(truth, found(truth, [0, 4], [1, 1]), style)
    assert note == (
        "2 × category with boxes, of 3, that has no detection: its AP is 0, which AP averages "
        "over, first 'bee'"
    )
    assert not [*notes_of(truth, found(truth, [0, 4], [1, 1]), "proposals")]


def test_detections_of_categories_that_are_not_annotated() -> None:
    """Of category 3 there is a crowd alone, of 4 nothing; LVIS knows absent ones of each image."""
    truth = truth_of((1, 1), (1, 3), crowds=(1,))
    detections = found(truth, [0, 1, 0, 0], [1, 3, 4, 4])
    assert [*notes_of(truth, detections, "coco")] == [
        "2 × detection of a category that has no box in the ground truth, first 'dog': not "
        "counted, as officially",
        "1 × detection of a category that has only crowds ('iscrowd') in the ground truth, first "
        "'cat': not counted, as officially; write 0 where each is one object",
    ]
    assert not [*notes_of(truth, detections, "lvis")]


def test_ids_that_count_from_another_number() -> None:
    """Twelve boxes, each detected with an id that is one too low."""
    truth = truth_of(*[(1, 2), (2, 2), (3, 2), (1, 3), (2, 3), (4, 4)] * 2)
    rows = [*range(12)]
    shifted = (truth.category_rows[rows]).tolist()  # rows are ids less 1
    assert doubt(truth, found(truth, rows, shifted), "coco") == (
        "of 12 detections that lie on a box (IoU .5) 0 have its category, those called 'ant' "
        "mostly on 'bee', those called 'bee' mostly on 'cat', those called 'cat' mostly on 'dog': "
        "are their category ids those of truth.json?"
    )
    right = (truth.category_rows[rows] + 1).tolist()
    assert not doubt(truth, found(truth, rows, right), "coco")
    # few detections, and such as are of any category, tell nothing
    assert not doubt(truth, found(truth, rows[:9], shifted[:9]), "coco")
    any_one = truth_of(*[(image, category) for image in (1, 2, 3) for category in (1, 2, 3, 4)])
    called = [(row + 1 + image) % 4 + 1 for image in range(3) for row in range(4)]
    assert not doubt(any_one, found(any_one, rows, called), "coco")


def test_a_detection_is_of_the_box_that_it_fits_best() -> None:
    """Of two boxes that overlap; crowds and boxes of other images are passed over."""
    truth = truth_of(*[(1, 1), (1, 2)] * 10, *[(2, 3)] * 10, crowds=tuple(range(20, 30)))
    boxes = truth.boxes_xywh.copy()
    boxes[1:20:2] = boxes[0:20:2] + np.array([0, 0, 5, 0])  # IoU 10/15 with the box before
    boxes[20:] = boxes[0:20:2]
    truth = dataclasses.replace(truth, boxes_xywh=boxes)
    wider = [*range(1, 20, 2)]
    note = doubt(truth, found(truth, wider, [4] * 10), "coco")
    assert "of 10 detections that lie on a box (IoU .5) 0 have its category, those called" in note
    assert "'dog' mostly on 'bee':" in note


def test_a_category_that_is_its_own_is_no_example() -> None:
    """One dog of twelve boxes is called so; the others are bees that are called ants."""
    truth = truth_of((1, 4), *[(1, 2)] * 11)
    note = doubt(truth, found(truth, [*range(12)], [4, *[1] * 11]), "coco")
    assert "1 have its category, those called 'ant' mostly on 'bee': are their" in note


@pytest.mark.parametrize(("step", "where"), [(-1, "next"), (1, "previous")])
def test_ids_of_other_images(step: int, where: str) -> None:
    """Twelve boxes in each of the two images in the middle, detections of the image beside."""
    truth = truth_of(*[(2, 1), (3, 1)] * 12)
    rows = [*range(24)]
    detections = found(truth, rows, [1] * 24)
    assert not doubt(truth, detections, "coco")
    shifted = dataclasses.replace(detections, image_ids=detections.image_ids + step)
    assert doubt(truth, shifted, "coco") == (
        "0 of 12 boxes in images with detections are hit (IoU .5), but 24 would be if each "
        f"detection were of the {where} image: are their image ids those of truth.json?"
    )


def test_boxes_of_another_scale() -> None:
    """In images of half the size, one that which the first box is at 0."""
    truth = truth_of(*[(1, 1)] * 11)
    rows = [*range(11)]
    detections = found(truth, rows, [1] * 11)
    half = dataclasses.replace(detections, boxes_xywh=detections.boxes_xywh / 2)
    note = doubt(truth, half, "coco")
    assert note.startswith("0 of 11 boxes in images with detections are hit (IoU .5), by whatever")
    assert note.endswith("and boxes x, y, width, height in pixels of the whole image?")
    for hit, told in ((1, True), (2, False)):
        mixed = half.boxes_xywh.copy()
        mixed[:hit] = detections.boxes_xywh[:hit]
        assert bool(doubt(truth, dataclasses.replace(half, boxes_xywh=mixed), "coco")) == told
    few = truth_of(*[(1, 1)] * 9)
    assert not doubt(few, dataclasses.replace(half, boxes_xywh=half.boxes_xywh + 7), "coco")


@pytest.mark.parametrize("style", ["coco", "lvis", "proposals"])
def test_scores_that_rank_nothing(style: str) -> None:
    truth = truth_of((1, 1), (1, 1))
    detections = found(truth, [0, 1], [1, 1])
    equal = dataclasses.replace(detections, scores=np.ones(2))
    (note,) = notes_of(truth, equal, style)
    assert note.startswith("all 2 detections have the same score: what ranks them is their order")
    assert not [*notes_of(truth, detections, style)]
    assert not [*notes_of(truth, equal.take(np.array([0])), style)]


def test_no_detection_on_any_box() -> None:
    truth = truth_of((1, 1))
    far = Detections(np.array([1]), np.array([1]), np.array([[50.0, 50, 5, 5]]), np.array([0.5]))
    assert not doubt(truth, far, "coco")
    nothing = truth_of()
    assert not doubt(nothing, far, "coco")
    assert not [*notes_of(nothing, far, "proposals")]


@pytest.mark.parametrize(("style", "tied"), [("coco", 12), ("lvis", 12), ("proposals", 8)])
def test_most_scores_are_those_of_others(style: str, tied: int) -> None:
    """6 detections have category 1 and score .9, 6 category 2 and .5. Two images have two of each
    score, which are tied within the image, two images have one of each, which are not."""
    truth = truth_of((1, 1), (2, 2), (3, 1), (4, 2))
    rows = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3]
    detections = dataclasses.replace(
        found(truth, rows, [1, 2] * 6), scores=np.array([0.9, 0.5] * 6)
    )
    (note,) = [note for note in notes_of(truth, detections, style) if "have the score of" in note]
    assert note.startswith(f"{tied} of 12 detections have the score of another that they are")


def test_few_equal_scores_are_not_spoken_of() -> None:
    truth = truth_of((1, 1), (2, 1), (3, 1), (4, 1))
    detections = found(truth, [0, 1, 2, 3] * 3, [1] * 12)
    halves = dataclasses.replace(
        detections, scores=np.array([0.9, 0.9, 0.8, 0.8, 0.7, 0.7, *np.arange(6) / 10])
    )
    assert not [note for note in notes_of(truth, halves, "coco") if "have the score of" in note]
    equal = dataclasses.replace(detections, scores=np.full(12, 0.05))
    notes = [note for note in notes_of(truth, equal, "coco") if "score" in note]
    assert [note[:7] for note in notes] == ["all 12 "]  # said once
