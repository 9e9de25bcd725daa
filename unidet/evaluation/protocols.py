"""What LVIS's and COCO's evaluators compare: which detections, with which annotations.

Legend: A area ranges, N images, C categories, G annotated boxes, D detections that are evaluated.

LVIS, as the lvis package 0.5.3: the 300 best detections of an image over all categories;
degenerate boxes (annotated or detected) are left out; detections whose category is neither
annotated in the image nor in its negative list are left out; unmatched detections of a category
that is not exhaustively annotated there are ignored. COCO, as pycocotools 2.0: the 100 best
detections of an image and category; crowds are ignored, and may be matched any number of times.
In both an annotation of id 0 can be taken but its match counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from unidet.errors import UserError
from unidet.evaluation.matching import AREA_RANGES, outside
from unidet.records import Detections, GroundTruth, rank_in_group

LVIS_MAX_DETECTIONS = 300
"""Of an image."""

COCO_MAX_DETECTIONS = 100
"""Of an image and category."""


@dataclass(frozen=True)
class Annotated:
    """G annotated boxes, sorted by image and category.

    Attributes:
        rows: (G,) int64, rows of the ground truth's annotations.
        groups: (G,) int64, image row times C plus category row.
        category_rows: (G,) int64.
        boxes_xywh: (G, 4) float64.
        is_crowd: (G,) bool, may be matched any number of times.
        ignored: (A, G) bool, does not count in that area range.
        counts_when_matched: (G,) bool.
    """

    rows: np.ndarray
    groups: np.ndarray
    category_rows: np.ndarray
    boxes_xywh: np.ndarray
    is_crowd: np.ndarray
    ignored: np.ndarray
    counts_when_matched: np.ndarray

    @classmethod
    def of(
        cls, truth: GroundTruth, *, kept: np.ndarray, ignored: np.ndarray, is_crowd: np.ndarray
    ) -> Annotated:
        """`kept`, `ignored` and `is_crowd` hold a bool for each annotation of the ground truth."""
        groups = _groups(truth, truth.image_rows, truth.category_rows)
        order = np.argsort(groups, kind="stable")
        order = order[kept[order]]
        return cls(
            rows=order,
            groups=groups[order],
            category_rows=truth.category_rows[order],
            boxes_xywh=truth.boxes_xywh[order],
            is_crowd=is_crowd[order],
            ignored=_outside_ranges(truth.areas[order]) | ignored[order],
            counts_when_matched=truth.annotation_ids[order] != 0,
        )

    def take(self, rows: np.ndarray) -> Annotated:
        """The boxes at `rows`, which ascend."""
        return Annotated(
            rows=self.rows[rows],
            groups=self.groups[rows],
            category_rows=self.category_rows[rows],
            boxes_xywh=self.boxes_xywh[rows],
            is_crowd=self.is_crowd[rows],
            ignored=self.ignored[:, rows],
            counts_when_matched=self.counts_when_matched[rows],
        )


@dataclass(frozen=True)
class Evaluated:
    """D detections that count: by category, then score, then image.

    Attributes:
        rows: (D,) int64, rows of the detections handed in.
        image_rows, category_rows, groups: (D,) int64, as in `Annotated`.
        boxes_xywh: (D, 4) float64.
        ranks: (D,) int64, better detections of the same image and category; None in LVIS.
        excused: (A, D) bool, ignored unless matched.
    """

    rows: np.ndarray
    image_rows: np.ndarray
    category_rows: np.ndarray
    groups: np.ndarray
    boxes_xywh: np.ndarray
    ranks: np.ndarray | None
    excused: np.ndarray

    def take(self, rows: np.ndarray) -> Evaluated:
        """The detections at `rows`, in that order."""
        return Evaluated(
            rows=self.rows[rows],
            image_rows=self.image_rows[rows],
            category_rows=self.category_rows[rows],
            groups=self.groups[rows],
            boxes_xywh=self.boxes_xywh[rows],
            ranks=None if self.ranks is None else self.ranks[rows],
            excused=self.excused[:, rows],
        )


def lvis_protocol(
    truth: GroundTruth, detections: Detections, max_per_category: int | None = None
) -> tuple[Annotated, Evaluated]:
    """What LVIS's evaluator compares.

    Args:
        detections: their image and category ids must be known to the ground truth.
        max_per_category: take so many best detections of each category over all images, in place
            of 300 of each image (fixed AP).

    Raises:
        UserError: the ground truth has no negative lists.
    """
    if truth.negatives is None or truth.not_exhaustive is None:
        raise UserError(
            f'{truth.source}: not every image has "neg_category_ids", so it is not LVIS '
            "ground truth; evaluate it with style coco"
        )
    annotated = Annotated.of(
        truth,
        kept=truth.areas > 0,
        ignored=truth.is_ignored,
        is_crowd=np.zeros(len(truth.areas), dtype=bool),
    )
    verified = truth.negatives.copy()
    verified.reshape(-1)[annotated.groups] = True

    images = truth.rows_of_images(detections.image_ids)
    categories = truth.rows_of_categories(detections.category_ids)
    kept = verified[images, categories]
    kept &= detections.boxes_xywh[:, 2] * detections.boxes_xywh[:, 3] > 0
    if max_per_category is None:
        kept &= best_of_groups(images, detections.scores, LVIS_MAX_DETECTIONS)
    else:
        kept &= best_of_groups(categories, detections.scores, max_per_category)
    evaluated = _by_category(truth, detections, np.flatnonzero(kept), images, categories)
    unlabelled = truth.not_exhaustive[evaluated.image_rows, evaluated.category_rows]
    evaluated.excused[:] |= unlabelled
    return annotated, evaluated


def uncounted(truth: GroundTruth, detections: Detections, style: str) -> tuple[int, str]:
    """How many detections style "coco" or "lvis" leaves out as too many, and beyond which."""
    images = truth.rows_of_images(detections.image_ids)
    if style == "lvis":
        limit, groups, beyond = LVIS_MAX_DETECTIONS, images, "of its image"
    else:
        categories = truth.rows_of_categories(detections.category_ids)
        groups = images * len(truth.category_ids) + categories
        limit, beyond = COCO_MAX_DETECTIONS, "of its category in its image"
    counts = np.unique(groups, return_counts=True)[1]
    return int(np.maximum(counts - limit, 0).sum()), f"the {limit} best {beyond}"


def best_of_categories(detections: Detections, count: int) -> np.ndarray:
    """(K,) bool, the `count` best detections of each category; of equal scores the earlier ones."""
    categories = np.unique(detections.category_ids, return_inverse=True)[1]
    return best_of_groups(categories, detections.scores, count)


def best_of_groups(groups: np.ndarray, scores: np.ndarray, count: int) -> np.ndarray:
    """(K,) bool, the `count` best of each group, (K,) rows; of equal scores the earlier ones."""
    best = np.ones(len(groups), dtype=bool)
    many = np.flatnonzero((np.bincount(groups) > count)[groups])
    order = many[np.lexsort((-scores[many], narrow(groups[many])))]
    best[order] = rank_in_group(groups[order]) < count
    return best


def coco_protocol(truth: GroundTruth, detections: Detections) -> tuple[Annotated, Evaluated]:
    """What COCO's evaluator compares.

    Args:
        detections: their image and category ids must be known to the ground truth.
    """
    annotated = Annotated.of(
        truth,
        kept=np.ones(len(truth.areas), dtype=bool),
        ignored=truth.is_crowd,
        is_crowd=truth.is_crowd,
    )
    images = truth.rows_of_images(detections.image_ids)
    categories = truth.rows_of_categories(detections.category_ids)
    everything = np.arange(len(detections))
    evaluated = _by_category(truth, detections, everything, images, categories)
    # by image, which leaves those of a category together, best first
    order = np.argsort(narrow(evaluated.image_rows), kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = rank_in_group(evaluated.groups[order])
    evaluated = replace(evaluated, ranks=ranks)
    kept = ranks < COCO_MAX_DETECTIONS
    return annotated, evaluated if kept.all() else evaluated.take(np.flatnonzero(kept))


def narrow(rows: np.ndarray) -> np.ndarray:
    """The same rows, from 0, in as few bytes as hold them: of two bytes they are sorted in no
    time."""
    return rows.astype(np.min_scalar_type(rows.max(initial=0)))


def _by_category(
    truth: GroundTruth,
    detections: Detections,
    rows: np.ndarray,
    images: np.ndarray,
    categories: np.ndarray,
) -> Evaluated:
    """The detections at `rows`, which ascend; `images`, `categories`: (K,) rows of all."""
    rows = rows[np.lexsort((narrow(images[rows]), narrow(categories[rows])))]
    _sort_each_by_score(rows, categories[rows], detections.scores[rows])
    images, categories = images[rows], categories[rows]
    boxes_xywh = detections.boxes_xywh[rows]
    return Evaluated(
        rows=rows,
        image_rows=images,
        category_rows=categories,
        groups=_groups(truth, images, categories),
        boxes_xywh=boxes_xywh,
        ranks=None,
        excused=_outside_ranges(boxes_xywh[:, 2] * boxes_xywh[:, 3]),
    )


def _sort_each_by_score(rows: np.ndarray, categories: np.ndarray, scores: np.ndarray) -> None:
    """Puts the best of each category first in `rows`, in place; of equal scores, those before.

    Sorting the categories one by one takes half the time of sorting all by two keys.
    """
    bounds = [0, *(np.flatnonzero(np.diff(categories)) + 1).tolist(), len(rows)]
    for start, stop in pairwise(bounds):
        if stop - start > 1:
            rows[start:stop] = rows[start:stop][np.argsort(-scores[start:stop], kind="stable")]


def _groups(truth: GroundTruth, images: np.ndarray, categories: np.ndarray) -> np.ndarray:
    return images.astype(np.int64) * len(truth.category_ids) + categories


def _outside_ranges(areas: np.ndarray) -> np.ndarray:
    return np.stack([outside(areas, limits) for limits in AREA_RANGES.values()])
