"""AP of new and of old names before and after fine-tuning, as a table that fits 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

from unidet.pipelines.wiring.fine_tuning import PLAIN, REHEARSAL, START

GROUPS = ("new", "old", "other")
"""Names that are learned, names that the start was trained on, and names that neither is."""
CALLED = {START: "before", REHEARSAL: "fine-tuned", PLAIN: "plain"}

Metrics = Mapping[str, float]


def fine_tuning_table(metrics_by_name: Mapping[str, Metrics]) -> str:
    """A row for each evaluation set and network, with what changed; names are NETWORK/SET."""
    rows = [f"{'AP of names':<26}" + "".join(f"{group:>18}" for group in GROUPS)]
    sets = dict.fromkeys(name.partition("/")[2] for name in metrics_by_name)
    for evaluated in sets:
        before = metrics_by_name.get(f"{START}/{evaluated}")
        for network, called in CALLED.items():
            metrics = metrics_by_name.get(f"{network}/{evaluated}")
            if metrics is not None:
                cells = "".join(_cell(metrics, before, group) for group in GROUPS)
                rows.append(f"{evaluated:<14}{called:<12}{cells}")
    return "\n".join(rows)


def _cell(metrics: Metrics, before: Metrics | None, group: str) -> str:
    value = metrics[f"AP_{group}"]
    if value < 0:
        return f"{'–':>18}"
    if before is None or before is metrics:
        return f"{value:>18.3f}"
    return f"{value:>9.3f} {value - before[f'AP_{group}']:>+8.3f}"
