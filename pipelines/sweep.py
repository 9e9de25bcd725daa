"""Many runs of one command (`-m`): every job runs, then one table compares them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine import bring_up_to_date
from unidet.terminal import say

SHOWN = ("AP", "AP50", "APr", "APc", "APf", "AP_base", "AP_novel", "AR@300", "AR@100", "R50@300")


class Sweep:
    """Collects the metrics of jobs; a failing job neither hides nor stops the others."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float | str]] = []
        self._failures: list[str] = []

    def run(self, label: str, config: Callable[[], Config]) -> None:
        """One job; bad input is noted and told at the end."""
        say(f"--- {label}")
        try:
            chosen = config()
            result = bring_up_to_date(chosen)[chosen.stage]
        except UserError as error:
            say(f"unidet: {error}")
            self._failures.append(f"{label}: {error}")
            return
        metrics = result.folder / "metrics.json"
        values = json.loads(metrics.read_text()) if metrics.exists() else {}
        shown = {name: values[name] for name in SHOWN if name in values}
        swept = dict(part.split("=", 1) for part in label.split() if not part.startswith("stage="))
        self._rows.append({**swept, **shown})

    def finish(self) -> int:
        """Print the table; the exit status: 0, or 2 where a job failed."""
        if self._rows:
            table = pd.DataFrame(self._rows)
            print(table.to_string(index=False, float_format="{:.3f}".format))
        for failure in self._failures:
            say(f"failed: {failure}")
        return 2 if self._failures else 0
