"""Which values of a log make curves, by which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from unidet.errors import UserError
from unidet.report.logs.run import read_runs


def test_a_name_of_mmdet_3_may_hold_blanks(tmp_path: Path) -> None:
    trained = "base_lr: 1.0000e-02 lr: 2.0000e-02  eta: 1 day, 2:03:04  loss: 0.5000"
    tested = "coco/dog_precision: 0.5000  coco/hot dog_precision: 0.2500  coco/bbox_mAP: 0.3750"
    (tmp_path / "a.log").write_text(
        f"x - INFO - Epoch(train)  [1][ 50/100]  {trained}\n"
        f"x - INFO - Epoch(val)  [1][9/9]    {tested}  data_time: 0.1000  time: 0.2000\n"
    )
    table = read_runs([tmp_path])[0].table
    assert table.iloc[1][["AP", "coco/dog_precision", "coco/hot dog_precision"]].tolist() == [
        *(0.375, 0.5, 0.25)
    ]
    assert {*table.columns[3:6]} == {"base_lr", "lr", "loss"}
    assert len(table.columns) == 9


def test_a_size_that_no_object_has_has_no_ap(tmp_path: Path) -> None:
    """COCO's -1, in nanodet's log as in the others; a loss may be -1."""
    (tmp_path / "logs.txt").write_text(
        "Train|Epoch1/2|Iter10(10/10)| lr:1.00e-04| loss_qfl:0.8|\n"
        "Val|Epoch1/2|Iter10(10/10)| lr:1.00e-04| loss_qfl:-1.0|\n"
        "Val_metrics: {'mAP': 0.25, 'AP_s': np.float64(-1.0), 'AP_m': -1.0, 'AP_l': 0.5}\n"
    )
    table = read_runs([tmp_path])[0].table
    names = ["split", "epoch", "step", "lr", "loss_qfl", "loss", "AP", "AP_large"]
    assert table.columns.tolist() == names
    assert table["loss_qfl"].tolist() == [0.8, -1]


def test_a_table_that_counts_epochs_beside_steps_is_not_ours(tmp_path: Path) -> None:
    """Lightning's `metrics.csv`."""
    (tmp_path / "log.csv").write_text("step,epoch,train_loss\n49,0,1.25\n99,1,1\n")
    with pytest.raises(UserError, match=r"log\.csv, line 1: 'step,epoch,train_loss' begins no"):
        read_runs([tmp_path])
