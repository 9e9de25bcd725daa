"""2,000 files bent at random: every reader reads them or refuses in one line, never else."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from splits import read_split

from unidet.data.index import load_split, save_split
from unidet.data.novelty import novel_categories
from unidet.errors import UserError
from unidet.evaluation.evaluate import STYLES, evaluate
from unidet.formats import growing, json_window, scanner
from unidet.formats.annotations import read_annotations
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.json_text import record_batches
from unidet.formats.mmdet_pickles import (
    proposal_arrays,
    read_json_detections,
    read_order,
    result_arrays,
)
from unidet.formats.results import FIELDS, read_results
from unidet.formats.table import Table
from unidet.formats.tables import read_tables

CASES, SHARES, LARGE = 2000, 8, 2
ODD = [
    *(None, True, False, 0, 1, -1, 0.5, 3.0, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**400),
    *(1e300, -1e300, 5e-324, float("nan"), float("inf"), float("-inf")),
    *("", "0", "1", "true", "x", "\x00", "a\nb\x1b[0m", "\ud800", "é\u0301", "..\\x", "/", "C:\\x"),
    *([], {}, [[]], [1], [{}], {"id": 1}, [1, 2, 3, 4], ["1", 2, 3, 4], [0, 0, 1e308, 1e308]),
]
KEYS = [
    "id",
    "bbox",
    "isCrowd",
    "is_crowd",
    "ignored",
    "frequency",
    "is_novel",
    "synonyms",
    "",
    "\n",
]


def truth() -> dict[str, Any]:
    negative: dict[str, Any] = {"neg_category_ids": [1], "not_exhaustive_category_ids": []}
    names = ("ant", "bat", "cat")
    return {
        "images": [
            {"id": row, "file_name": f"{row:012d}.jpg", "width": 64, "height": 48} | negative
            for row in (1, 2, 3)
        ],
        "categories": [
            {"id": row + 1, "name": name, "frequency": "rcf"[row], "synonyms": [name]}
            for row, name in enumerate(names)
        ],
        "annotations": [
            {"id": row, "image_id": row % 3 + 1, "category_id": row % 3 + 1, "area": 90.5}
            | {"bbox": [row, 2 * row, 20.5, 10], "iscrowd": 0, "segmentation": [[1, 2, 3]]}
            for row in range(1, 8)
        ],
    }


def results() -> list[dict[str, Any]]:
    return [
        {"image_id": row % 3 + 1, "category_id": row % 3 + 1, "score": row / 9}
        | {"bbox": [row, 2 * row, 20.25, 10]}
        for row in range(1, 9)
    ]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in nested lists and objects."""
    keys: Any = value.keys() if isinstance(value, dict) else range(len(value))
    pairs = [(value, key) for key in keys]
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, (dict, list)):
            pairs += places(child)
    return pairs


def bend(value: Any, rng: random.Random) -> None:
    """One change in place: another value, a deletion, a copy of another part, a new key."""
    container, key = rng.choice(places(value))
    how = rng.random()
    if how < 0.55:
        container[key] = deepcopy(rng.choice(ODD))
    elif how < 0.75:
        del container[key]
    elif how < 0.9:
        other, place = rng.choice(places(value))
        container[key] = deepcopy(other[place])
    elif isinstance(container, dict):
        container[rng.choice(KEYS)] = deepcopy(rng.choice(ODD))
    else:
        container.insert(key, deepcopy(container[key]))


def damage(text: str, rng: random.Random) -> bytes:
    """A file cut short, nested deeply, with an endless number or in another encoding."""
    how = rng.random()
    if how < 0.06:
        return text[: rng.randrange(len(text))].encode()
    if how < 0.09:
        return text.replace("[", "[" * rng.choice((2, 900, 100_000)), 1).encode()
    if how < 0.12:
        return text.replace("1", "1" * rng.choice((20, 400, 5000)), 3).encode()
    if how < 0.15:
        return text.encode(rng.choice(("utf-8-sig", "utf-16", "utf-32-be")))
    if how < 0.18:
        return text.encode().replace(b'"', bytes([rng.randrange(256)]), 1)
    return text.encode()


def read_all(gt: Path, dt: Path) -> Counter[str]:
    """Runs every reader; counts what was read, or refused in one line."""

    def limited() -> None:
        read_annotations(gt, limit=2)

    def indexed() -> None:
        split, _ = read_split(gt, None, name="x")
        novel_categories(split.categories, ["ant"])
        save_split(split, gt.with_suffix(".npz"))
        assert load_split(gt.with_suffix(".npz"), "x").categories == split.categories

    def evaluated() -> None:
        ground_truth = read_ground_truth(gt)
        for style in STYLES:
            detections = read_results(dt, ground_truth, class_agnostic=style == "proposals")
            values = list(evaluate(ground_truth, detections, style).values())
            assert np.isfinite(values).all()

    def exchanged() -> None:
        order = read_order(gt)
        result_arrays(read_json_detections(dt, order, proposals=False), order)
        proposal_arrays(read_json_detections(dt, order, proposals=True), order)

    return Counter(map(outcome, (limited, indexed, evaluated, exchanged)))


def outcome(action: Callable[[], None]) -> str:
    try:
        action()
    except UserError as refusal:
        message = str(refusal)
        assert message.splitlines() == [message]
        assert message.isprintable(), message
        assert len(message) < 600
        return "refused"
    return "read"


def contents(table: Table | None) -> Any:
    """All that was read, to the bit."""
    if table is None:
        return None
    columns = {
        name: (
            column.values.tobytes() if isinstance(column.values, np.ndarray) else column.values,
            None if column.absent is None else column.absent.tolist(),
            column.written,
        )
        for name, column in sorted(table.columns.items())
    }
    return repr((table.count, table.strays, columns))


def tables_read(gt: Path, dt: Path) -> list[Any]:
    """What both files hold, or why they are refused."""

    def results() -> Any:
        batches = record_batches(dt, scan=scanner.scan_of(FIELDS))
        return contents(Table.of(dt, "detections", batches, FIELDS))

    def annotations() -> Any:
        return [(key, contents(table)) for key, table in read_tables(gt).items()]

    return [answer(results), answer(annotations)]


def answer(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UserError as refusal:
        return str(refusal)


@contextmanager
def naming(case: int) -> Iterator[None]:
    try:
        yield
    except Exception as fault:
        raise AssertionError(f"case {case}: {type(fault).__name__}: {fault}") from fault


@pytest.mark.parametrize("share", range(SHARES))
def test_bent_files_are_read_or_refused_in_one_line(
    share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some as if they were large: a few characters at a time, columns in files. The scanner reads
    of all the same as is read without it."""
    if share < LARGE:
        monkeypatch.setattr(json_window, "PIECE", 50)
        monkeypatch.setattr(growing, "IN_MEMORY", 0)
        monkeypatch.setattr(growing, "BLOCK", 2)
    outcomes: Counter[str] = Counter()
    gt, dt = tmp_path / "gt.json", tmp_path / "dt.json"
    sources: list[tuple[Path, Callable[[], Any]]] = [(gt, truth), (dt, results)]
    for case in range(share, CASES, SHARES):
        rng = random.Random(case)
        bent = rng.randrange(4) == 0
        for number, (path, source) in enumerate(sources):
            value = source()
            if bent == bool(number):
                for _ in range(rng.choice((1, 1, 2, 4))):
                    bend(value, rng)
                path.write_bytes(damage(json.dumps(value), rng))
            else:
                path.write_text(json.dumps(value))
        monkeypatch.setattr(scanner, "WORTHWHILE", 1 << 60)
        plainly = tables_read(gt, dt)
        monkeypatch.setattr(scanner, "WORTHWHILE", 1)
        with naming(case):
            assert tables_read(gt, dt) == plainly
            outcomes += read_all(gt, dt)
    assert min(outcomes["read"], outcomes["refused"]) > CASES // SHARES
