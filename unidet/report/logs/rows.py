"""The common format of all logs: training and validation rows on one axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

TRAIN, VALIDATION = "train", "val"
# Names in mmdet, nanodet and unidet; other names are kept.
_NAMES = {
    "mAP": "AP",
    "mAP_50": "AP50",
    "mAP_75": "AP75",
    "mAP_s": "AP_small",
    "mAP_m": "AP_medium",
    "mAP_l": "AP_large",
    "AP_50": "AP50",
    "AP_75": "AP75",
    "AP_m": "AP_medium",
    "AP_l": "AP_large",
}


@dataclass
class Rows:
    """Collects rows in the order of the file.

    A training row that is not after all previous ones is from a run that was resumed at an earlier
    step: it replaces all rows from its position on, as the resumed weights did.

    Attributes:
        replaced: number of rows replaced in this way.
        cut_off: number of incomplete lines at the end of the file.
        guessed_epoch: assumed steps per epoch, if the log does not contain the number; else 0.
    """

    replaced: int = 0
    cut_off: int = 0
    guessed_epoch: int = 0
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def train(self, epoch: float | None, step: int | None, values: Mapping[str, float]) -> None:
        """Adds the values that training logged at a step, or over an epoch without steps."""
        place = _place(epoch, step)
        while self._rows and _place(self._rows[-1]["epoch"], self._rows[-1]["step"]) >= place:
            self._rows.pop()
            self.replaced += 1
        self._rows.append({"split": TRAIN, "epoch": epoch, "step": step, **values})

    def validation(self, values: Mapping[str, float], epoch: float | None = None) -> None:
        """Adds an evaluation at the current position of training, or at `epoch` if given.

        A metric of -1 is left out: COCO's evaluation writes it for sizes without objects.
        """
        values = {
            name: value
            for name, value in values.items()
            if name != "lr" and (value != -1 or "loss" in name)
        }
        start: dict[str, Any] = {"split": None, "epoch": None, "step": None}
        before = self._rows[-1] if self._rows else start
        epoch = before["epoch"] if epoch is None else epoch
        if before["split"] == VALIDATION and before["epoch"] == epoch:
            before.update(values)
        else:
            place = {"split": VALIDATION, "epoch": epoch, "step": before["step"]}
            self._rows.append(place | values)

    def table(self) -> pd.DataFrame:
        """Columns split, epoch, step, then one per quantity; NaN if it was not logged."""
        columns = {name: None for row in self._rows for name in row}
        return pd.DataFrame(self._rows, columns=list(columns))


def _place(epoch: float | None, step: int | None) -> tuple[float, float]:
    return (-1 if epoch is None else epoch, -1 if step is None else step)


def metric_name(name: str) -> str:
    """`coco/bbox_mAP_50`, `bbox_mAP_50` and `AP_50` become AP50; `val/loss` becomes loss."""
    name = name.removeprefix("train/").removeprefix("val/")
    plain = name.rsplit("/", 1)[-1].removeprefix("bbox_")
    plain = _NAMES.get(plain, plain)
    return plain if plain.startswith(("AP", "AR")) else name
