"""Collects the results of benchmarks/gpu.py into a dictionary and Markdown tables."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from compare import differences

COMPARED = ("cases", "first", "second")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
PROGRAMS = {"speed": "unidet", "twin": "PyTorch"}
STUDY_FIGURES = ("AP", "AP_novel", "AR@300")
WORST = 3
"""Number of arrays per network in the table, those with the largest differences."""


def report(
    folder: Path, outcomes: Mapping[str, Mapping[str, Any]], device: str
) -> tuple[dict[str, Any], str]:
    """All results as a dictionary for JSON, and as Markdown tables."""
    figures: dict[str, Any] = {
        "device": card() if device == "cuda" else "CPU",
        "parts": outcomes,
        "doctor": _lines(folder / "doctor.log"),
        "differences": {part: _differences(folder, part) for part in COMPARED},
        "speed": {
            f"{program}-{precision}": json.loads(path.read_text())
            for program in PROGRAMS
            for precision in PRECISIONS
            if (path := folder / f"{program}-{precision}.json").is_file()
        },
        "studies": {
            path.name.removeprefix("study-"): _metrics(path)
            for path in sorted(folder.glob("study-*"))
            if path.is_dir()
        },
    }
    doctor = "\n".join(["```", *figures["doctor"], "```", ""])
    tables = (
        _parts(outcomes),
        doctor,
        _parity(figures["differences"]),
        _speeds(figures["speed"]),
        _studies(figures["studies"]),
    )
    return figures, "\n".join([f"{figures['device']}\n", *tables])


@functools.cache
def card() -> str:
    """Name and driver version from nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"a GPU ({error})"
    return done.stdout.strip()


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.is_file() else []


def _differences(folder: Path, part: str) -> dict[str, dict[str, float]]:
    files = folder / f"{part}-cpu.npz", folder / f"{part}.npz"
    if not all(file.is_file() for file in files):
        return {}
    return {
        name: {"largest": gap, "of": scale} for name, gap, scale in differences(*map(str, files))
    }


def _metrics(root: Path) -> dict[str, float]:
    """Metrics of the study's evaluation set with the highest AP of novel categories, if any."""
    files = sorted(root.glob("artefacts/lvis_eval-*/metrics.json"))
    tables = [json.loads(file.read_text()) for file in files]
    return max(tables, key=lambda table: table.get("AP_novel", -1), default={})


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _parts(outcomes: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ((name, part["outcome"], f"{part['seconds']:.0f}") for name, part in outcomes.items())
    return _table(("part", "outcome", "seconds"), rows)


def _parity(compared: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Largest differences relative to the array's largest value, by part and precision."""
    rows = []
    for part, arrays in compared.items():
        relative = {name: gap["largest"] / (gap["of"] or 1) for name, gap in arrays.items()}
        ordered = sorted(relative, key=relative.__getitem__, reverse=True)
        for precision in ("float32", "bfloat16", "float16"):
            for name in [name for name in ordered if _precision_of(name) == precision][:WORST]:
                gap = arrays[name]
                numbers = f"{gap['largest']:.2g}", f"{gap['of']:.2g}", f"{relative[name]:.1e}"
                rows.append((f"{part}: {name}", *numbers))
    return _table(("compared with the CPU", "largest difference", "of", "relative"), rows)


def _precision_of(array: str) -> str:
    """Precision of an array by its name, which `mixed_cases` of benchmarks/cases.py gives it."""
    named = (name for name in ("bfloat16", "float16") if f", {name}:" in array)
    return next(named, "float32")


def _speeds(speeds: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Milliseconds and, in parentheses, memory in MiB.

    On a GPU, memory is what is allocated on the card afterwards; on a CPU, the peak of the process.
    """
    runs = [
        (program, precision, speeds[key])
        for precision in PRECISIONS
        for program in PROGRAMS
        if (key := f"{program}-{precision}") in speeds
    ]
    names = list(dict.fromkeys(name for _, _, figures in runs for name in figures))

    def cell(figures: Mapping[str, Mapping[str, float]], name: str) -> str:
        if name not in figures:
            return ""
        return f"{figures[name]['seconds'] * 1000:.0f} ({figures[name]['mebibytes']:.0f})"

    head = ("ms (MiB)", *(f"{PROGRAMS[program]}, {precision}" for program, precision, _ in runs))
    return _table(
        head, ((name, *(cell(figures, name) for _, _, figures in runs)) for name in names)
    )


def _studies(studies: Mapping[str, Mapping[str, float]]) -> str:
    rows = (
        (precision, *(f"{metrics[name]:.4f}" if name in metrics else "" for name in STUDY_FIGURES))
        for precision, metrics in studies.items()
    )
    return _table(("toy study", *STUDY_FIGURES), rows)
