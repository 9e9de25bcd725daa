"""The results files of COCO and LVIS: a JSON list of detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unidet.errors import UserError
from unidet.formats.batch_columns import Fields
from unidet.formats.columns import BOX, NUMBER, OUTLINE, WHOLE
from unidet.formats.frames import check_frame
from unidet.formats.json_text import record_batches
from unidet.formats.repeats import repeated
from unidet.formats.scanner import scan_of
from unidet.formats.table import Table
from unidet.records import Detections, GroundTruth

RECORDS_PER_WRITE = 65536
_NUMBERED = (
    "; where it is the number in a file's name, as some detectors write, put that image's id"
)
FIELDS: Fields = {
    "id": WHOLE,
    "image_id": WHOLE,
    "category_id": WHOLE,
    "bbox": BOX,
    "segmentation": OUTLINE,
    "score": NUMBER,
}


def read_results(
    path: Path, ground_truth: GroundTruth, *, class_agnostic: bool = False
) -> Detections:
    """Reads a list of {image_id, category_id, bbox, score} and checks it against ground truth.

    With `class_agnostic`, category ids may be anything or absent (then 0): proposals carry none.

    Raises:
        UserError: one line that names the file and the record: malformed JSON, no list, no
            detections, missing keys, unknown ids, boxes or scores that are not finite, boxes that
            are plainly in another frame.
    """
    categories = None if class_agnostic else ground_truth.category_ids
    detections = read_detections(path, ground_truth.image_ids, categories, ground_truth.source)
    if not len(detections):
        raise UserError(f"{path}: holds no detections; there is nothing to evaluate")
    sizes = ground_truth.image_sizes
    rows = ground_truth.rows_of_images(detections.image_ids)
    known = np.zeros((len(ground_truth.image_ids), 2)) if sizes is None else sizes
    check_frame(Path(path), "detections", detections.boxes_xywh, known, rows)
    return detections


def read_detections(
    path: Path, image_ids: np.ndarray, category_ids: np.ndarray | None, source: str
) -> Detections:
    """The detections of a file, perhaps none.

    Args:
        image_ids: of the images there are, in any order.
        category_ids: of the categories; None takes any, and 0 where they are absent.
        source: the annotations that these ids are of, for messages.

    Raises:
        UserError: as `read_results`.
    """
    batches = record_batches(path, scan=scan_of(FIELDS))
    table = Table.of(Path(path), "detections", batches, FIELDS).checked()
    images = image_ids[table.rows_in("image_id", image_ids, f"images of {source}", _NUMBERED)]
    if category_ids is not None:
        what = f"categories of {source}"
        categories = category_ids[table.rows_in("category_id", category_ids, what)]
    elif table.has("category_id"):
        categories = table.integers("category_id", advice="; of proposals, any")
    else:
        categories = np.zeros(len(table), np.int64)
    boxes, scores = table.boxes(), table.finite_numbers("score")
    table.require_sound(boxes)
    return Detections(images, categories, boxes, scores)


def repeated_detections(detections: Detections) -> int:
    """How many detections are as one before, in image, category, box and score.

    So are those of images that a data loader of several processes gave twice, to even its parts.
    """
    return int(np.count_nonzero(repeated(*vars(detections).values())))


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
