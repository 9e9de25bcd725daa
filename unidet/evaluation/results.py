"""Detections as columns, and the results files of COCO and LVIS that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unidet.errors import UserError
from unidet.evaluation.ground_truth import GroundTruth
from unidet.evaluation.json_records import Columns, record_batches

RECORDS_PER_WRITE = 65536


@dataclass(frozen=True)
class Detections:
    """K detections in any order; where scores tie, the earlier one counts as the better.

    Attributes:
        image_ids, category_ids: (K,) int64, the dataset's own ids.
        boxes_xywh: (K, 4) float64, original pixels.
        scores: (K,) float32 from our own networks, float64 from a file.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    boxes_xywh: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: np.ndarray) -> Detections:
        """The detections at `rows` (indices or a mask), in that order."""
        return Detections(
            self.image_ids[rows], self.category_ids[rows], self.boxes_xywh[rows], self.scores[rows]
        )

    def top(self, count: int) -> Detections:
        """The `count` highest-scoring detections of every image, original order kept."""
        order = np.lexsort((-self.scores, self.image_ids))
        kept = order[rank_in_group(self.image_ids[order]) < count]
        return self.take(np.sort(kept))


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """(K,) int64: how many earlier elements of the sorted (K,) `groups` share the value."""
    if not len(groups):
        return np.zeros(0, dtype=np.int64)
    positions = np.arange(len(groups))
    is_first = np.concatenate(([True], groups[1:] != groups[:-1]))
    return positions - np.maximum.accumulate(np.where(is_first, positions, 0))


def concatenate(parts: list[Detections]) -> Detections:
    """One after another; no parts give zero detections."""
    if not parts:
        ids = np.zeros(0, dtype=np.int64)
        return Detections(ids, ids, np.zeros((0, 4)), np.zeros(0, dtype=np.float32))
    return Detections(
        np.concatenate([part.image_ids for part in parts]),
        np.concatenate([part.category_ids for part in parts]),
        np.concatenate([part.boxes_xywh for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def read_results(
    path: Path, ground_truth: GroundTruth, *, class_agnostic: bool = False
) -> Detections:
    """Reads a list of {image_id, category_id, bbox, score} and checks it against ground truth.

    With `class_agnostic`, category ids may be anything or absent (then 0): proposals carry none.

    Raises:
        UserError: one line that names the file and the record: malformed JSON, no list, no
            detections, missing keys, unknown ids, boxes or scores that are not finite.
    """
    path = Path(path)
    parts = []
    for start, records in record_batches(path):
        columns = Columns(path, "detection", records, start)
        parts.append(
            Detections(
                columns.known_ids("image_id", ground_truth.image_ids),
                _optional_category_ids(columns)
                if class_agnostic
                else columns.known_ids("category_id", ground_truth.category_ids),
                columns.boxes("bbox"),
                columns.numbers("score"),
            )
        )
    if not parts:
        raise UserError(f"{path}: holds no detections; there is nothing to evaluate")
    return concatenate(parts)


def _optional_category_ids(columns: Columns) -> np.ndarray:
    if all("category_id" in record for record in columns.records):
        return columns.integers("category_id")
    return np.zeros(len(columns.records), dtype=np.int64)


def write_results(path: Path, detections: Detections, *, exact: bool = False) -> None:
    """Writes COCO and LVIS results JSON, one detection a line.

    Boxes are written with two decimals: `detect` has already rounded them so, and reading them
    back gives the same bits; with `exact`, boxes of others keep all digits. Scores keep every
    digit of their type, so no two scores that differ become a tie. Hence evaluating the file gives
    exactly the metrics of the detections in memory.
    """
    digits = 9 if detections.scores.dtype == np.float32 else 17
    box = ",".join(["%.17g" if exact else "%.2f"] * 4)
    template = f'{{"image_id":%d,"category_id":%d,"bbox":[{box}],"score":%.{digits}g}}'
    with Path(path).open("w", encoding="ascii") as file:
        file.write("[")
        for start in range(0, len(detections), RECORDS_PER_WRITE):
            rows = slice(start, start + RECORDS_PER_WRITE)
            columns = (
                detections.image_ids[rows].tolist(),
                detections.category_ids[rows].tolist(),
                *detections.boxes_xywh[rows].T.tolist(),
                detections.scores[rows].tolist(),
            )
            lines = ",\n".join([template % record for record in zip(*columns, strict=True)])
            file.write((",\n" if start else "\n") + lines)
        file.write("\n]\n")
