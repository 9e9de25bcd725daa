"""The classes of a proposal network's outputs: `rpn.classes`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from unidet.config.stages import RpnConfig
from unidet.errors import UserError
from unidet.pipelines.wiring.image_sets import ImageSet
from unidet.store.stored_json import read_json, text, whole

if TYPE_CHECKING:
    import numpy as np

    from unidet.ops.loss_term import Losses
    from unidet.ops.sampling import BatchRandom
    from unidet.records import Batch, Category

    Loss = Callable[[Batch, BatchRandom | np.random.Generator], Losses]

CATEGORIES = "categories.json"
LARGEST_ID = 9_999
"""The largest category id that `rpn.classes=category_ids` makes outputs for."""
Outputs: TypeAlias = "Sequence[Category | None]"
"""What each output stands for; None for a number that is no category id."""


def datasets_of(config: RpnConfig, training: Sequence[ImageSet]) -> list[ImageSet]:
    """The training datasets that the network learns from."""
    return list(training) if config.classes == "agnostic" else [training[0]]


def outputs(config: RpnConfig, name: str, categories: Sequence[Category]) -> Outputs:
    """The categories of the outputs; empty for a class-agnostic network.

    Args:
        name, categories: of the first training dataset.

    Raises:
        UserError: ids that outputs cannot be numbered by.
    """
    if config.classes == "agnostic":
        return ()
    if config.classes == "dataset":
        return tuple(categories)
    by_id = {category.id: category for category in categories}
    smallest, largest = min(by_id), max(by_id)
    if smallest < 0 or largest > LARGEST_ID:
        raise UserError(
            f"rpn.classes: {name} has category ids from {smallest} to {largest}; "
            f"category_ids takes 0 to {LARGEST_ID:,}, dataset takes any"
        )
    return tuple(by_id.get(number) for number in range(largest + 1))


def names_of(categories: Outputs) -> tuple[str | None, ...]:
    """The names of the outputs, None for one that stands for nothing."""
    return tuple(output.name if output else None for output in categories)


def loss_of(config: RpnConfig, training: Sequence[ImageSet], loss: Loss) -> Loss:
    """`loss` of the batch with every box labelled by its output: 0 for a class-agnostic network."""
    if config.classes == "dataset":
        return loss
    import numpy as np

    ids = np.array([category.id for category in training[0].split.categories], np.int64)
    numbered = config.classes == "category_ids"

    def relabelled(batch: Batch, rng: BatchRandom | np.random.Generator) -> Losses:
        labels = [ids[of] if numbered else np.zeros(len(of), np.int64) for of in batch.labels]
        return loss(replace(batch, labels=labels), rng)

    return relabelled


def save_outputs(folder: Path, categories: Outputs) -> None:
    """Beside the weights in an `rpn` artefact: id and name of every output, null for none."""
    records = [output and {"id": output.id, "name": output.name} for output in categories]
    (folder / CATEGORIES).write_text(json.dumps(records))


def known_outputs(folder: Path) -> list[dict[str, Any] | None]:
    """The inverse of `save_outputs`."""
    return read_json(folder / CATEGORIES, lambda records: [_output(record) for record in records])


def _output(values: dict[str, Any] | None) -> dict[str, Any] | None:
    return values and {"id": whole(values["id"]), "name": text(values["name"])}
