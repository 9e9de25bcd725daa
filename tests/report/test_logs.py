"""Logs of every known format become tables; what cannot be read names its file and line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from unidet.errors import UserError
from unidet.report.logs.run import Run, read_runs, short_names


def read(path: Path) -> Run:
    return read_runs([path])[0]


def rows(run: Run, split: str, *columns: str) -> list[list[float]]:
    table = run.table[run.table["split"] == split]
    return table[list(columns)].astype(float).to_numpy().tolist()


def test_our_own_log(logs: Path) -> None:
    run = read(logs / "own.csv")
    assert run.kind == "unidet"
    assert rows(run, "train", "step", "loss", "loss_box", "lr") == [
        [0, 2.5, 1.5, 0.001],
        [10, 2, 1.25, 0.01],
        [20, 1.5, 1, 0.01],
    ]


def test_an_empty_cell_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss,AP\n0,2.5,\n10,2,0.25\n")
    assert read(tmp_path).table["AP"].dropna().tolist() == [0.25]


def test_mmdet_2_text_counts_steps_over_epochs(logs: Path) -> None:
    run = read(logs / "mmdet2.log")
    assert run.kind == "mmdet"
    assert rows(run, "train", "epoch", "step", "lr", "loss_rpn_cls", "s0.loss_cls") == [
        [1, 50, 0.001978, 0.6986, 0.5666],
        [1, 100, 0.003978, 0.4986, 0.3666],
        [2, 170, 0.004, 0.2986, 0.1666],  # 120 steps in an epoch
    ]
    assert run.table["loss"].dropna().tolist() == [3.441, 1.5]  # one is nan
    assert rows(run, "val", "epoch", "step", "AP", "AP50") == [[1, 100, 0.125, 0.25]]
    assert not {"eta", "memory", "time", "AP_small"} & set(run.table.columns)


def test_mmdet_2_json_takes_the_largest_iteration_for_an_epoch(logs: Path, tmp_path: Path) -> None:
    """Where no text log says how many steps there are."""
    shutil.copy(logs / "mmdet2.log.json", tmp_path)
    run = read(tmp_path / "mmdet2.log.json")
    assert run.guessed_epoch == 100
    assert rows(run, "train", "epoch", "step", "loss", "lr") == [
        [1, 50, 1.75, 0.00198],
        [1, 100, 1.5, 0.00398],
        [2, 150, 1.25, 0.02],
    ]
    assert rows(run, "val", "epoch", "step", "AP", "AP50") == [[1, 100, 0.125, 0.25]]
    assert "AP_small" not in run.table
    shutil.copy(logs / "mmdet2.log", tmp_path)
    run = read(tmp_path / "mmdet2.log.json")
    assert run.guessed_epoch == 0
    assert [row[0] for row in rows(run, "train", "step")] == [50, 100, 170]
    (tmp_path / "mmdet2.log").write_text("2026 - mmdet - INFO - Epoch [3] begins\n")
    assert read(tmp_path / "mmdet2.log.json").guessed_epoch == 100


def test_colours_of_a_terminal_do_not_matter(logs: Path, tmp_path: Path) -> None:
    """As in `python tools/train.py … > run.log` with colours forced."""
    lines = (logs / "mmdet2.log").read_text().splitlines()
    coloured = [line.replace("Epoch", "\x1b[0;32mEpoch\x1b[0m") for line in lines]
    (tmp_path / "run.log").write_text("\n".join(coloured) + "\n")
    assert read(tmp_path / "run.log").table.equals(read(logs / "mmdet2.log").table)


def test_mmdet_2_by_iterations(logs: Path) -> None:
    run = read(logs / "mmdet2_iterations.log")
    assert rows(run, "train", "step", "loss") == [[50, 0.75], [100, 0.5]]
    assert rows(run, "val", "step", "AP") == [[50, 0.125]]


@pytest.mark.parametrize("name", ["mmdet3.log", "mmdet3.json"])
def test_mmdet_3_text_and_json_agree(logs: Path, name: str) -> None:
    run = read(logs / name)
    assert rows(run, "train", "epoch", "step", "lr", "loss", "loss_bbox") == [
        [1, 50, 0.01, 0.3249, 0.1749],
        [1, 100, 0.02, 0.2249, 0.1249],
        [2, 170, 0.02, 0.1249, 0.0749],
    ]
    assert rows(run, "val", "epoch", "step", "AP", "AP50") == [[1, 100, 0.294, 0.41]]


def test_mmdet_learning_rates_by_name(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("x - INFO - Iter [5/10]\tlr_backbone: 1.0e-05 lr_head: 1.0e-03, loss: 0.5\n")
    assert rows(read(log), "train", "lr", "lr_head") == [[1e-5, 1e-3]]


@pytest.mark.parametrize(
    "lines",
    [
        [
            "x - mmdet - INFO - Epoch(val) [1][125]\tbbox_mAP: 0.5050",
            "x - mmdet - INFO - Epoch(val) [2][125]\tbbox_mAP: 0.5310",
        ],
        ['{"coco/bbox_mAP": 0.505, "step": 1}', '{"coco/bbox_mAP": 0.531, "step": 2}'],
    ],
)
def test_mmdet_evaluations_alone_stand_at_their_epochs(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "run.log").write_text("\n".join(lines) + "\n")
    assert rows(read(tmp_path), "val", "epoch", "AP") == [[1, 0.505], [2, 0.531]]


def test_logs_of_unidetector_s_first_stage(logs: Path) -> None:
    """Lines of a published training of the CLN, on COCO and Objects365, by mmdet 2.18."""
    run = read(logs / "unidetector_cln.log")
    assert rows(run, "train", "epoch", "step", "lr", "loss_rpn_obj", "loss_bbox_score", "loss") == [
        [1, 50, 0.0004945, 0.2697, 0.0041, 2.5719],
        [1, 100, 0.000994, 0.2550, 0.0007, 2.2532],
        [2, 9315, 0.005, 0.1854, 0.0127, 1.7903],  # 4,665 steps in an epoch
        [3, 9380, 0.005, 0.1959, 0.0132, 1.9727],
    ]


@pytest.mark.parametrize("name", ["unidetector_lvis.log", "unidetector_lvis.log.json"])
def test_logs_of_unidetector_on_lvis(logs: Path, name: str) -> None:
    """The end-to-end network's; JSON has the 2,483 steps of an epoch from the text beside it."""
    run = read(logs / name)
    epoch = 2483
    steps = [row[1] for row in rows(run, "train", "epoch", "step")]
    assert steps == [50, 100, epoch + 2450, 2 * epoch + 50]
    columns = ("AP", "AP50", "AP75", "APr", "APc", "APf")
    assert rows(run, "val", "epoch", *columns) == [[2, 0.034, 0.086, 0.017, 0.008, 0.006, 0.044]]


def test_nanodet_sums_its_losses_and_averages_validation_batches(logs: Path) -> None:
    run = read(logs / "nanodet.txt")
    assert run.kind == "nanodet"
    assert rows(run, "train", "epoch", "step", "lr", "loss_qfl", "loss") == [
        [1, 0, 1e-7, 1.0, 3.75],
        [1, 50, 1e-4, 0.5, 1.875],
        [2, 60, 1e-3, 0.25, 0.9375],
    ]
    validation = rows(run, "val", "epoch", "step", "loss_qfl", "AP", "AP50", "AP_small")
    assert validation == [[1, 50, 0.5, 0.3539, 0.5649, 0.125]]
    assert run.table.query("split == 'val'")["loss"].tolist() == pytest.approx([2.7])
    assert run.replaced == 1  # the line that was printed twice
    assert "mem" not in run.table


def test_nanodet_averages_each_evaluation_by_itself(tmp_path: Path) -> None:
    line = "{}|Epoch{}/9|Iter{}(1/6)| lr:1.00e-03| loss_qfl:{}| \n"
    steps = [("Train", 1, 5, 4), ("Val", 1, 6, 3), ("Train", 2, 11, 2), ("Val", 2, 12, 1)]
    (tmp_path / "logs.txt").write_text("".join(line.format(*step) for step in steps))
    assert rows(read(tmp_path), "val", "epoch", "step", "loss_qfl") == [[1, 5, 3], [2, 11, 1]]


def test_detr_names_the_numbers_of_coco(logs: Path) -> None:
    run = read(logs / "detr.txt")
    assert rows(run, "train", "epoch", "lr", "loss", "loss_ce", "loss_ce_0") == [
        [1, 1e-4, 8, 0.5, 0.625],
        [2, 1e-5, 6, 0.25, 0.375],
    ]
    assert rows(run, "val", "epoch", "loss", "AP", "AP50", "AR100") == [
        [1, 9, 0.125, 0.25, 0.375],
        [2, 7, 0.25, 0.5, 0.5],
    ]
    assert "AP_medium" not in run.table  # -1: no such object


def test_rtdetr(logs: Path) -> None:
    run = read(logs / "rtdetr.txt")
    assert rows(run, "train", "epoch", "loss_vfl", "loss_vfl_dn_0") == [[1, 0.25, 0.75]]
    assert rows(run, "val", "epoch", "AP", "AR_large") == [[1, 0.5, 0.9]]


# --- running, resumed and damaged logs ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("own.csv", 2),
        ("mmdet2.log", 2),
        ("mmdet2.log.json", 2),
        ("mmdet3.log", 2),
        ("nanodet.txt", 3),  # the last line repeats the one before it
        ("detr.txt", 1),
    ],
)
def test_a_last_line_without_its_end_is_skipped_and_counted(
    logs: Path, tmp_path: Path, name: str, kept: int
) -> None:
    whole = (logs / name).read_text().rstrip("\n")
    (tmp_path / "run.log").write_text(whole[:-3])
    run = read(tmp_path / "run.log")
    assert (run.table["split"] == "train").sum() == kept
    assert run.cut_off == 1
    assert read(logs / name).cut_off == 0


def test_a_resumed_run_replaces_the_rows_it_wrote_again(tmp_path: Path) -> None:
    lines = [
        {"mode": "train", "epoch": epoch, "iter": step, "lr": 0.1, "loss": loss}
        for epoch, step, loss in ((1, 10, 5.0), (1, 20, 4.0), (2, 10, 3.0), (2, 10, 2.5))
    ]
    lines.insert(2, {"mode": "val", "epoch": 1, "iter": 7, "lr": 0.1, "bbox_mAP": 0.5})
    lines.insert(4, {"mode": "val", "epoch": 2, "iter": 7, "lr": 0.1, "bbox_mAP": 0.75})
    (tmp_path / "run.log.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = read(tmp_path)
    assert rows(run, "train", "step", "loss") == [[10, 5], [20, 4], [30, 2.5]]
    assert rows(run, "val", "epoch", "AP") == [[1, 0.5]]
    assert run.replaced == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file is empty; a log is one of: log.csv"),
        ("\n\n", "line 1: the file is empty"),
        ("\nhello world\n", "line 2: 'hello world' begins no known log; known are log.csv"),
        ('{"a": 1}\n', "line 1: .* begins no known log"),
        ("step,loss\n", "line 1: the log of unidet ends before its first complete row"),
        ("step,loss\n0,1.5", "line 2: the log of unidet ends before its first complete row"),
        ("step,loss\n0,1\n1\n2,1\n", "line 3: 1 cells under a header of 2"),
        ("step,loss\n0,1\n1,x\n2,1\n", "line 3: '1,x' is no row of numbers"),
        (f"step,loss\n0,1\n1,{'x' * 999}\n2,1\n", f"line 3: '1,{'x' * 77} is no row of numbers"),
        ('{"train_loss": 1, "epoch": 0}\n{"tr\n{}\n', "line 2: not JSON"),
        ('{"train_loss": 1}\n', "line 1: no whole number under 'epoch'"),
        ('{"mode": "train"}\n[1]\n{}\n', "line 2: a JSON object was expected"),
        ("Train|Epoch1/2|Iter0(1/6)| lr:1e-3| loss_qfl:1.2.3| \n", "line 1: .* a number belongs"),
        ("step,loss\n0,1\n1e999,1\n2,1\n", "line 3: '1e999,1' is no row of numbers"),
        ('step,loss\n0,1\n1,"' + "1" * 200_000 + "\n2,1\n", "line 3: .*(no row|cells)"),
        (f'{{"train_loss": 1, "epoch": 0}}\n{"[" * 9999}\n{{}}\n', "line 2: not JSON"),
        (f'{{"train_loss": 1, "epoch": {"1" * 5000}}}\n{{}}\n', "line 1: not JSON"),
        ('{"train_loss": 1, "epoch": 1e3}\n', "line 1: 'epoch' is 1000.0, must be a whole number"),
        ('{"mode": "train", "epoch": 1, "iter": "5"}\n', "line 1: 'iter' is '5', must be a whole"),
        ('{"mode": "val"}\n{"epoch": null, "AP": 1}\n', "line 2: 'epoch' is None, must be a whole"),
        (f"mmdet - Epoch [{'1' * 5000}][1/2] loss: 1\n", "line 1: .* begins no known log"),
    ],
)
def test_what_cannot_be_read_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.log"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"run\.log, {message}") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_number_makes_no_curve(tmp_path: Path) -> None:
    record = {"train_loss": 1, "train_a": "2", "train_b": None, "train_c": True, "epoch": 0}
    record |= {"test_coco_eval_bbox": ["0.5", None, 0.25, -1, [], 10**400], "train_d": -(10**400)}
    (tmp_path / "log.txt").write_text(json.dumps(record) + "\n")
    table = read(tmp_path).table
    assert list(table.columns) == ["split", "epoch", "step", "loss", "d", "AP75", "AP_large"]
    assert table["d"][0] == -float("inf")


def test_what_other_code_prints_between_the_rows_of_mmdet(logs: Path, tmp_path: Path) -> None:
    """Lines that begin as rows do, and hold no step."""
    plain = (logs / "mmdet2.log").read_text()
    (tmp_path / "run.log").write_text(f"Epoch [1] begins\nEpoch [1/12]: loss: 9\n{plain}")
    assert read(tmp_path / "run.log").table.equals(read(logs / "mmdet2.log").table)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(encoding: str, logs: Path, tmp_path: Path) -> None:
    for name in ("own.csv", "detr.txt", "mmdet2.log"):
        path = tmp_path / name
        path.write_bytes((logs / name).read_text().encode(encoding))
        assert read(path).table.equals(read(logs / name).table)


def test_binary_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"step\n\xff\xfe")
    with pytest.raises(UserError, match="events, line 2: not text"):
        read(tmp_path / "events")
    with pytest.raises(UserError, match=r"none\.log: no such file; a log is one of"):
        read(tmp_path / "none.log")
    (tmp_path / "loop.log").symlink_to("loop.log")
    with pytest.raises(UserError, match=r"loop\.log: "):
        read(tmp_path / "loop.log")


# --- places and names --------------------------------------------------------------------------


def test_a_folder_stands_for_the_log_it_holds(tmp_path: Path, logs: Path) -> None:
    (tmp_path / "log.csv").write_text((logs / "own.csv").read_text())
    (tmp_path / "loss.png").touch()
    assert read(tmp_path).kind == "unidet"


@pytest.mark.parametrize(
    ("holds", "taken"),
    [
        (["logs-2022-01-10-10-00-00/logs.txt", "eval.log"], "nanodet"),
        (["20230101_120000/vis_data/scalars.json", "20230101_120000/x.log"], "mmdet"),
    ],
)
def test_folders_as_nanodet_and_mmdet_leave_them(
    tmp_path: Path, logs: Path, holds: list[str], taken: str
) -> None:
    texts = {"nanodet": logs / "nanodet.txt", "mmdet": logs / "mmdet3.json"}
    for index, name in enumerate(holds):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("nothing" if index else texts[taken].read_text())
    run = read(tmp_path)
    assert (run.kind, run.name) == (taken, tmp_path.name)


def test_a_folder_without_a_log_or_with_several(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no log; looked for log\.csv"):
        read(tmp_path)
    for name in ("a.log", "b.log"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"holds 2 logs \(a\.log, b\.log\); name the one"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["rpn-0123/log.csv"], ["rpn-0123"]),
        (["a/first/log.csv", "a/second/log.txt"], ["first", "second"]),
        (["a/run/log.csv", "b/run/log.csv"], ["a", "b"]),
        (["x/a/20200504_175649.log.json", "x/b/20200505_175649.log"], ["a", "b"]),
        (["x/a/20200504_175649.log", "x/a/20200505_175649.log"], None),
        (["m/20230101_120000/vis_data/scalars.json", "n/logs-2022-01-10-10/logs.txt"], ["m", "n"]),
        (["x/run.log", "x/run.log.json", "x/b.csv"], ["run.log", "run.log.json", "b.csv"]),
        (["a/b/log.csv", "c/b/log.csv", "a/d/log.csv"], ["a/b", "c/b", "a/d"]),
    ],
)
def test_names_are_the_shortest_that_differ(paths: list[str], names: list[str] | None) -> None:
    expected = names or [Path(path).name.split(".")[0] for path in paths]
    assert short_names([Path("/w") / path for path in paths]) == expected


def test_names_can_be_given(logs: Path) -> None:
    runs = read_runs([logs / "own.csv", logs / "detr.txt"], ["CLN", "DETR"])
    assert [run.name for run in runs] == ["CLN", "DETR"]
    with pytest.raises(UserError, match="1 name for 2 runs"):
        read_runs([logs / "own.csv", logs / "detr.txt"], ["CLN"])
    with pytest.raises(UserError, match="given twice"):
        read_runs([logs / "own.csv", logs / "own.csv"])


def test_every_table_has_its_axes(logs: Path) -> None:
    for path in sorted(logs.iterdir()):
        table = read(path).table
        assert list(table.columns[:3]) == ["split", "epoch", "step"], path
        assert isinstance(table, pd.DataFrame)
