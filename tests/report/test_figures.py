"""Figures of an evaluation set: what they count, and that they survive JSON."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reports import PROVENANCE_MADE, evaluated, study

from unidet.errors import UserError
from unidet.evaluation.naming import image_scores
from unidet.records import Detections
from unidet.report.figures import figures_of
from unidet.report.gallery import pair_of
from unidet.report.html.comparison_page import Compared, comparison_page
from unidet.report.study import load_study, save_study


@pytest.mark.parametrize("style", ["lvis", "coco"])
def test_they_add_up(style: str) -> None:
    made = evaluated(style=style)
    figures = figures_of(made)
    assert sum(item.boxes for item in figures.categories) == 36
    fates = figures.fates
    assert fates.right + fates.confused + fates.missed == 36
    assert fates.right > 0 < fates.confused
    assert sum(item.count for item in figures.confusions) == fates.confused
    rows = {
        name: sum(row)
        for name, row in zip(figures.matrix.names, figures.matrix.counts, strict=True)
    }
    assert rows == {item.name: item.boxes for item in figures.categories if item.name in rows}
    assert figures.metrics["APs"] is None
    assert set(figures.precision) == {"all", "base", "novel"} | (
        {"rare", "common", "frequent"} if style == "lvis" else set()
    )


def test_ap_of_novel_categories_where_the_evaluator_does_not_say() -> None:
    made = evaluated(style="coco")
    novel = made.table["AP"][2]
    assert figures_of(made).metrics["AP_novel"] == pytest.approx(novel)
    closed = figures_of(evaluated(style="coco", closed=True))
    assert "AP_novel" not in closed.metrics
    assert set(closed.reliability) == {"all"}


def test_nothing_detected() -> None:
    made = replace(evaluated(), detections=Detections.concatenate([]))
    figures = figures_of(made)
    assert figures.point is None
    assert (figures.fates.right, figures.fates.missed) == (0, 36)
    assert figures.confusions == []
    assert figures.matrix.names == []


def test_json_and_back(tmp_path: Path) -> None:
    made = study()
    save_study(made, tmp_path / "study.json")
    assert load_study(tmp_path / "study.json") == made
    first = (tmp_path / "study.json").read_bytes()
    save_study(study(), tmp_path / "study.json")
    assert (tmp_path / "study.json").read_bytes() == first
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(UserError, match="another version; run its stage=report"):
        load_study(tmp_path / "study.json")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (("sets", 0, "precision", "all"), 100),
        (("sets", 0, "reliability", "all", "scores"), 1),
        (("sets", 0, "matrix", "counts"), 1),
        (("sets", 0, "matrix", "counts", 0), 1),
        (("recalls", 0, "numbers"), 1),
        (("recalls", 0, "lines", "all"), 1),
        (("sweeps", 0, "betas"), 1),
        (("sweeps", 0, "grids", 0, "AP", 0), 1),
        (("training", 0, "rate"), 1),
        (("training", 0, "steps"), 1),
    ],
)
def test_lists_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, path: tuple[Any, ...], kept: int
) -> None:
    """A study of another store is what somebody says it is."""
    file = tmp_path / "study.json"
    save_study(study(), file)
    whole = json.loads(file.read_text())
    *parents, last = path
    place = reduce(operator.getitem, parents, whole)
    assert len(place[last]) > kept
    place[last] = place[last][:kept]
    file.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="no figures of a report"):
        load_study(file)


@pytest.mark.parametrize("numbers", [[0, 100, 300, 1000], [100, 100, 300, 1000], [10]])
def test_numbers_of_proposals_that_no_axis_can_show_are_refused(
    tmp_path: Path, numbers: list[int]
) -> None:
    file = tmp_path / "study.json"
    save_study(study(), file)
    whole = json.loads(file.read_text())
    recall = whole["recalls"][0]
    recall["numbers"] = numbers
    for lines in (recall["lines"], recall["groups"]):
        lines.update({name: values[: len(numbers)] for name, values in lines.items()})
    file.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="no figures of a report"):
        load_study(file)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda file: file.symlink_to(file)])
def test_what_is_no_file_holds_no_figures(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "study.json")
    with pytest.raises(UserError, match="no figures of a report"):
        load_study(tmp_path / "study.json")


def test_recall_at_other_numbers_of_boxes_is_another_chart() -> None:
    mine, other = study(), study()
    (first, *rest) = other.recalls
    half = {name: values[:2] for name, values in first.lines.items()}
    fewer = replace(first, numbers=first.numbers[:2], lines=half, groups={})
    compared = [
        Compared("one", mine, PROVENANCE_MADE),
        Compared("two", replace(other, recalls=[fewer, *rest]), PROVENANCE_MADE),
    ]
    page = comparison_page(compared, [])
    assert page.count("Mean recall of the best boxes of an image. one: ") == 1
    assert page.count("Mean recall of the best boxes of an image. two: ") == 1


def test_a_pair_of_pictures_says_what_it_shows() -> None:
    made = evaluated()
    scores = image_scores(made.truth, made.detections, made.naming)
    row = int(np.argmax(scores.confused))
    pair = pair_of(made, row, np.zeros((100, 2000, 3), np.uint8), "x.png", scores)
    assert "(called " in pair.annotated.says
    assert pair.summary.startswith(f"{scores.right[row]} of 3 boxes under their own name, ")
    assert pair.annotated.width == 1280  # of a strip, the long side counts
