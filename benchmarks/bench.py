"""Table of speeds: unidet and other programs, run alternately, with ratios.

    python benchmarks/bench.py [--quick] [--rounds N] [--out FOLDER] [ROW …]

Without a ROW all rows are measured; with `--quick` only those that take seconds. FOLDER (default
outputs/bench) receives table.md, history.csv (a line per program and run) and history.png.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from side_by_side import Measured, Row, figures, in_turns, other_load

MODULES = ("networks", "onnx", "loader", "evaluation", "calibration", "start")
COLUMNS = ("date", "commit", "row", "program", "seconds", "spread", "cpu", "mib", "load")
HEAD = (
    "| | program | seconds | spread | CPU seconds | peak MiB "
    "| unidet / program: seconds | CPU seconds | memory | goal |\n|" + "---|" * 10
)
PEERS = Path(".venv-peers/bin/python")
PYTHONS = {"PyTorch": PEERS, "hotcoco": PEERS, "onnxruntime": PEERS}
"""Interpreters of programs outside this environment; `make setup-peers` installs them."""


class Line(NamedTuple):
    row: Row
    measured: dict[str, Measured]
    load: float

    def table(self) -> str:
        """Lines of the Markdown table, one per program."""
        first, *others = self.row.programs
        return "\n".join(
            [
                f"| {self.row.title} | {first} | {_numbers(self.measured[first])} | | | | |",
                *(
                    f"| | {program} | {_numbers(self.measured[program])} "
                    f"| {' | '.join(self._ratios(program))} | {self._goals()} |"
                    for program in others
                ),
            ]
        )

    def _ratios(self, program: str) -> list[str]:
        ours, other = self.measured[self.row.programs[0]], self.measured[program]
        figures = ("seconds", "cpu", "mib")
        return [f"{ours.median(figure) / other.median(figure):.2f}" for figure in figures]

    def _goals(self) -> str:
        goals = (("", self.row.goal), ("memory ", self.row.memory_goal))
        return ", ".join(f"{of}≤ {goal:g}" for of, goal in goals if goal is not None)


def _numbers(runs: Measured) -> str:
    return (
        f"{runs.median('seconds'):.2f} | {runs.spread():.0%} | {runs.median('cpu'):.2f} "
        f"| {runs.median('mib'):.0f}"
    )


def rows() -> dict[str, Row]:
    modules = (import_module(f"rows.{name}") for name in MODULES)
    return {row.name: row for module in modules for row in module.ROWS}


def measure(row: Row, rounds: int, folder: Path) -> Line:
    load = other_load()

    def command(program: str) -> list[str]:
        interpreter = PYTHONS.get(program, Path(sys.executable))
        return [str(interpreter), __file__, "--one", row.name, program, str(folder)]

    return Line(row, in_turns(row.programs, command, rounds), load)


def remember(line: Line, history: Path) -> None:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True
    ).stdout.strip()
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
    new = not history.exists()
    with history.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        for program, runs in line.measured.items():
            numbers = [
                *(runs.median("seconds"), runs.spread(), runs.median("cpu"), runs.median("mib")),
                line.load,
            ]
            writer.writerow(
                [now, commit, line.row.name, program, *(f"{value:.4g}" for value in numbers)]
            )


def draw(history: Path, target: Path) -> None:
    """Plot the ratio of unidet's time to the other program's, for all runs."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import pandas

    table = pandas.read_csv(history)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    compared = (row for row in rows().values() if len(row.programs) > 1)
    for row in compared:
        ours, other = (
            table[(table.row == row.name) & (table.program == program)] for program in row.programs
        )
        both = ours.merge(other, on=["date", "commit"], suffixes=("", "_other"))
        if len(both):  # earlier runs of a row may have measured unidet alone
            runs = both.commit.astype(str) + "\n" + both.date
            axes.plot(runs, both.seconds / both.seconds_other, marker="o", label=row.name)
    axes.axhline(1, color="0.6", linewidth=1)
    axes.set(ylabel="time of unidet / time of the other program", ylim=(0, None))
    axes.tick_params(axis="x", labelsize=7)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(target, dpi=150)


def main(arguments: Sequence[str]) -> None:
    known = rows()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", choices=[[], *known], metavar="ROW")
    parser.add_argument("--quick", action="store_true", help="only rows that take seconds")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program (5)")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    wanted = options.rows or [row.name for row in known.values() if row.quick or not options.quick]
    options.out.mkdir(parents=True, exist_ok=True)
    lines, history = [], options.out / "history.csv"
    print(HEAD, flush=True)
    for name in wanted:
        row = known[name]
        if missing := [
            str(PYTHONS[p]) for p in row.programs if not PYTHONS.get(p, Path()).exists()
        ]:
            print(f"{name}: {', '.join(missing)} missing; run make setup-peers", file=sys.stderr)
            continue
        lines.append(measure(row, options.rounds, options.out))
        print(lines[-1].table(), f"<!-- other processes used {lines[-1].load:.1f} CPU cores -->")
        sys.stdout.flush()
        remember(lines[-1], history)
    (options.out / "table.md").write_text(
        "\n".join([HEAD, *(line.table() for line in lines)]) + "\n"
    )
    if history.exists():
        draw(history, options.out / "history.png")


def one(name: str, program: str, folder: Path) -> None:
    row = rows()[name]
    print(json.dumps(figures(row.work(program, folder), row.warm_up)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        main(sys.argv[1:])
