"""Which categories of an evaluation set are novel: decided where they are evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.image_sets import is_training, read_vocabulary

if TYPE_CHECKING:
    from unidet.records import Category


def novelty(job: Job, categories: Sequence[Category]) -> dict[int, bool]:
    """Category id -> whether no training set of the job labels it."""
    from unidet.data.novelty import novel_categories

    folders = [folder for label, folder in job.inputs.items() if is_training(label)]
    names = (category.name for folder in folders for category in read_vocabulary(folder))
    return novel_categories(categories, names)
