"""A table of LVIS metrics, one row for each category."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unidet.evaluation.lvis import LvisEvaluation
from unidet.records import GroundTruth

if TYPE_CHECKING:
    import pandas


def per_category_table(ground_truth: GroundTruth, evaluation: LvisEvaluation) -> pandas.DataFrame:
    """Columns id, name, frequency, novel, instances, AP, AP50, AR, by category id.

    AP and AR are means over IoU .5:.95 at max 300 detections per image; NaN for a category with
    no annotation that counts. `novel` is missing where novelty is unknown.
    """
    import pandas

    novel = evaluation.novel
    if novel is None:
        novel = np.full(len(ground_truth.category_ids), None, dtype=object)
    return pandas.DataFrame(
        {
            "id": ground_truth.category_ids,
            "name": ground_truth.category_names,
            "frequency": evaluation.frequencies,
            "novel": novel,
            "instances": evaluation.instances,
            "AP": evaluation.precision[0].mean(axis=0),
            "AP50": evaluation.precision[0, 0],
            "AR": evaluation.recall[0].mean(axis=0),
        }
    )
