"""A table of metrics, one row for each category."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from unidet.evaluation.average_precision import Evaluation
from unidet.records import GroundTruth

if TYPE_CHECKING:
    import pandas


def per_category_table(
    ground_truth: GroundTruth,
    evaluation: Evaluation,
    others: Mapping[str, np.ndarray] | None = None,
) -> pandas.DataFrame:
    """Columns id, name, frequency, novel, instances, AP, AP50, AR, by category id.

    AP and AR are means over IoU .5:.95, at the evaluator's max detections (LVIS: 300 of an image,
    COCO: 100 of an image and category); NaN for a category with no annotation that counts. `novel`
    is missing where novelty is unknown. Then `others`, such as `category_outcomes` has.
    """
    import pandas

    count = len(ground_truth.category_ids)
    novel = evaluation.novel
    if novel is None:
        novel = np.full(count, None, dtype=object)
    return pandas.DataFrame(
        {
            "id": ground_truth.category_ids,
            "name": ground_truth.category_names,
            "frequency": ground_truth.frequencies,
            "novel": novel,
            "instances": np.bincount(ground_truth.category_rows, minlength=count),
            "AP": evaluation.precision_TC.mean(axis=0),
            "AP50": evaluation.precision_TC[0],
            "AR": evaluation.recall_TC.mean(axis=0),
            **(others or {}),
        }
    )
