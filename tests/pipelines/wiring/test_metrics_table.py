"""The table that `lvis_eval` and `report` print."""

from __future__ import annotations

from unidet.pipelines.wiring.metrics_table import coco_table, lvis_table, recall_table

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


def test_three_sets_of_coco_are_a_suite_with_a_mean() -> None:
    sets = {
        name: COCO | {"AP": ap, "APr": -1.0} for name, ap in (("a", 0.1), ("b", 0.2), ("c", 0.6))
    }
    for row in (
        lvis_table({"val": LVIS, **sets}).splitlines()[5],
        coco_table(sets).splitlines()[-1],
    ):
        assert cells(row)[:4] == ["mean", "of", "3", "0.300"]
        assert cells(row)[-1] == "0.625"
    assert "mean" not in coco_table({"a": COCO, "b": COCO})


def test_recall_of_a_suite_has_the_mean_of_its_evaluation_sets() -> None:
    metrics = dict.fromkeys(("AR@10", "AR@100", "AR@300", "AUC", "R50@300"), 0.25)
    sets = {"training/x": metrics | {"AR@10": 1.0}, "a": metrics, "b": metrics, "c": metrics}
    *_, row = recall_table(sets).splitlines()
    assert cells(row) == ["mean", "of", "3", "evaluation", "sets", *["0.250"] * 5]
    assert len(row) <= 80


def test_it_fits_80_columns() -> None:
    assert max(map(len, lvis_table({"val": LVIS, "coco": COCO}).splitlines())) <= 80
