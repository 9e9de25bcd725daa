"""Names and shapes are those of the official models (reference/keys_*.txt)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.unidetector import (
    END2END,
    STAGE1,
    STAGE1_RPN,
    STAGE2,
    STAGE2_PARTITIONED,
)


def official_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    rows = [row.split("\t") for row in path.read_text().splitlines()]
    return {row[0]: tuple(ast.literal_eval(row[1])) for row in rows}


@pytest.mark.parametrize(
    ("layout", "keys"),
    [
        (STAGE1, "keys_stage1.txt"),
        (STAGE1_RPN, "keys_stage1_rpn.txt"),
        (STAGE2, "keys_stage2_coco.txt"),
        (END2END, "keys_end2end_coco.txt"),
    ],
)
def test_the_official_names_in_their_order(layout: Layout, keys: str, reference: Path) -> None:
    official = official_shapes(reference / "reference" / keys)
    assert not layout.problems(official)
    official.pop("roi_head.bbox_head.zs_weights", None)
    assert list(layout.expected.items()) == list(official.items())


def test_a_vocabulary_for_each_dataset(reference: Path) -> None:
    official = official_shapes(reference / "reference/keys_stage2_coco.txt")
    del official["roi_head.bbox_head.zs_weights"]
    missing = STAGE2_PARTITIONED.problems(official).missing
    assert missing == ("roi_head.bbox_head.zs_weights_0",)
    for index, count in enumerate((80, 365)):
        official[f"roi_head.bbox_head.zs_weights_{index}"] = (1024, count + 1)
    assert not STAGE2_PARTITIONED.problems(official)
    assert STAGE2.problems(official).unexpected == (
        "roi_head.bbox_head.zs_weights_0",
        "roi_head.bbox_head.zs_weights_1",
    )
