"""The table that `lvis_eval` and `report` print."""

from __future__ import annotations

from unidet.pipelines.wiring.metrics_table import lvis_table

LVIS = {"AP": 0.25, "AP50": 0.5, "APr": -1.0, "AR@300": 0.75}
COCO = {"AP": 0.125, "AR@1": 0.1, "AR@100": 0.625}


def cells(line: str) -> list[str]:
    return line.split()


def test_recall_of_lvis_is_of_300_boxes() -> None:
    head, row = lvis_table({"val": LVIS}).splitlines()
    assert cells(head)[-1] == "AR@300"
    assert cells(row) == ["val", "0.250", "0.500", *"–––––", "–", "0.750"]


def test_sets_of_two_styles_say_which_recall_is_whose() -> None:
    head, lvis, coco, note = lvis_table({"val": LVIS, "coco": COCO}).splitlines()
    assert (cells(head)[-1], cells(lvis)[-1], cells(coco)[-1]) == ("AR", "0.750", "0.625")
    assert "300" in note
    assert "100" in note


def test_it_fits_80_columns() -> None:
    assert max(map(len, lvis_table({"val": LVIS, "coco": COCO}).splitlines())) <= 80
