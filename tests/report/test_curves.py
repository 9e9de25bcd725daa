"""What `unidet plot` draws: panels, one axis, scales, means; and the command itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import exit_status
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from unidet.errors import UserError
from unidet.report import curves as module
from unidet.report.curves import choose, draw_curves, long_table, on_one_axis
from unidet.report.logs.run import Run, read_runs

plot = partial(exit_status, "plot")


def panels(
    monkeypatch: pytest.MonkeyPatch,
    runs: list[Run],
    smooth: int | None = None,
    epoch_steps: int | None = None,
) -> dict[str, Axes]:
    """The panels that would be saved, by their titles."""
    kept: list[Figure] = []
    monkeypatch.setattr(module, "save", lambda figure, _: kept.append(figure))
    curves = on_one_axis(runs, epoch_steps)
    draw_curves(curves, choose(curves)[0], Path("unused.png"), smooth=smooth)
    return {axes.get_title(loc="left"): axes for axes in kept[0].axes}


def lines(axes: Axes) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)] for line in axes.lines
    ]


def made(name: str, **columns: list[float]) -> Run:
    size = len(next(iter(columns.values())))
    fixed = {"split": ["train"] * size, "epoch": [None] * size, "step": list(range(size))}
    return Run(name, "unidet", pd.DataFrame(fixed | columns))


def test_panels_of_the_default_choice(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = panels(monkeypatch, read_runs([logs / "detr.txt", logs / "rtdetr.txt"]))
    expected = ["total loss", "learning rate", "AP", "loss_ce", "loss_vfl", "loss_bbox"]
    assert list(drawn) == [*expected, "loss_giou"]
    assert lines(drawn["AP"]) == [[(1, 0.125), (2, 0.25)], [(1, 0.5)]]
    # Training, then validation in the same colour, dashed.
    trained, tested, other = drawn["total loss"].lines
    assert trained.get_ydata().tolist() == [8, 6]
    assert tested.get_ydata().tolist() == [9, 7]
    assert trained.get_color() == tested.get_color() != other.get_color()
    assert trained.get_linestyle() == "-" != tested.get_linestyle()


def test_auxiliary_losses_are_left_out_but_can_be_asked_for(logs: Path) -> None:
    curves = on_one_axis(read_runs([logs / "detr.txt", logs / "rtdetr.txt", logs / "nanodet.txt"]))
    quantities, hidden = choose(curves)
    assert hidden == [
        *("loss_ce_0", "loss_ce_unscaled", "loss_vfl_aux_0", "loss_vfl_dn_0", "aux_loss_qfl")
    ]
    assert not set(quantities) & set(hidden)
    assert choose(curves, ["AP", "loss_vfl*"]) == (
        ["AP", "loss_vfl", "loss_vfl_aux_0", "loss_vfl_dn_0"],
        [],
    )
    with pytest.raises(UserError, match=r"no log has 'los'; there are lr, class_error, loss,"):
        choose(curves, ["los"])


def test_one_axis_of_steps_where_all_have_them(logs: Path) -> None:
    curves = on_one_axis(read_runs([logs / "own.csv", logs / "nanodet.txt"]))
    assert curves.axis == "step"
    assert curves.tables[0]["x"].tolist() == [0, 10, 20]
    assert curves.tables[1]["x"].tolist() == [0, 50, 50, 60]


def test_steps_are_averaged_over_epochs_beside_a_log_of_epochs(logs: Path) -> None:
    curves = on_one_axis(read_runs([logs / "detr.txt", logs / "nanodet.txt"]))
    assert curves.axis == "epoch"
    trained = curves.tables[1].query("split == 'train'")
    assert trained["x"].tolist() == [1, 2]
    assert trained["loss_qfl"].tolist() == [0.75, 0.25]  # (1.0 + 0.5) / 2


def test_epochs_and_steps_meet_by_the_steps_of_an_epoch(logs: Path) -> None:
    runs = read_runs([logs / "own.csv", logs / "detr.txt"])
    message = "own counts steps only and detr epochs only; give the steps of an epoch as --epoch-st"
    with pytest.raises(UserError, match=message):
        on_one_axis(runs)
    curves = on_one_axis(runs, epoch_steps=7)
    assert curves.axis == "step"
    assert curves.tables[1]["x"].tolist() == [7, 7, 14, 14]


def test_the_mean_is_drawn_over_the_faint_raw_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made("a", loss=[3.0, 1.0, 5.0, 3.0], lr=[1.0, 2.0, 1.0, 2.0])
    drawn = panels(monkeypatch, [run], smooth=3)
    raw, mean = drawn["total loss"].lines
    assert raw.get_ydata().tolist() == [3, 1, 5, 3]
    assert raw.get_alpha() < 0.5
    assert mean.get_ydata().tolist() == [2, 3, 3, 4]  # of 2, 3, 3 and 2 rows
    assert len(drawn["learning rate"].lines) == 1
    below = drawn["total loss"].figure.get_supxlabel()
    assert below == "step (losses: mean of 3 rows; faint: as logged)"
    drawn = panels(monkeypatch, [run], smooth=1)
    assert len(drawn["total loss"].lines) == 1
    assert drawn["total loss"].figure.get_supxlabel() == "step"
    assert len(panels(monkeypatch, [run])["total loss"].lines) == 1


def test_long_logs_are_smoothed_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made("a", loss=list(np.arange(75.0)))
    _, mean = panels(monkeypatch, [run])["total loss"].lines
    assert mean.get_ydata()[:3].tolist() == [0.5, 1, 2]  # three rows are a 25th of 75
    run.table["epoch"] = run.table.pop("step")
    run.table["step"] = None
    for steps in (None, 10):  # means of epochs, on either axis
        drawn = panels(monkeypatch, [run], epoch_steps=steps)
        assert len(drawn["total loss"].lines) == 1


def test_axes_are_logarithmic_where_values_are_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    far = made("a", loss=[100.0, 5.0, 1.0], lr=[0.0, 0.01, 0.0001], AP=[0.001, 0.1, 0.5])
    scales = {title: axes.get_yscale() for title, axes in panels(monkeypatch, [far]).items()}
    # One schedule keeps its shape, however low it ends.
    assert scales == {"total loss": "log", "learning rate": "linear", "AP": "linear"}
    lower = made("b", lr=[0.0, 1e-3, 1e-9])
    rates = panels(monkeypatch, [far, lower])["learning rate"]
    assert rates.get_yscale() == "log"
    assert rates.get_ylim()[0] == pytest.approx(1e-6)
    near = made("a", loss=[10.0, 5.0, -1.0], lr=[0.0, 0.01, 0.001])
    drawn = panels(monkeypatch, [near])
    assert {axes.get_yscale() for axes in drawn.values()} == {"linear"}
    assert drawn["total loss"].get_ylim()[0] < -1
    assert drawn["learning rate"].get_ylim()[0] == 0


def test_marks_of_equal_values_are_not_cut_at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    (axes,) = panels(monkeypatch, [made("a", loss=[0.5, 0.5, 0.4999])]).values()
    assert axes.get_ylim() == pytest.approx((0, 0.525))
    assert all(place == round(place) for place in axes.get_xticks())  # no half of a step


def test_values_that_are_not_finite_leave_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made("a", loss=[2.0, float("nan"), float("inf"), 1.0])
    assert lines(panels(monkeypatch, [run])["total loss"]) == [[(0, 2), (3, 1)]]


@pytest.mark.parametrize(("count", "grid"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (7, (2, 4))])
def test_panels_leave_few_places_empty(count: int, grid: tuple[int, int]) -> None:
    assert module._grid(count) == grid


def test_the_table_of_values(logs: Path) -> None:
    curves = on_one_axis(read_runs([logs / "own.csv", logs / "mmdet2_iterations.log"]))
    table = long_table(curves, ["loss", "AP"])
    assert table.to_numpy().tolist() == [
        ["own", "train", 0, "loss", 2.5],
        ["own", "train", 10, "loss", 2],
        ["own", "train", 20, "loss", 1.5],
        ["mmdet2_iterations", "train", 50, "loss", 0.75],
        ["mmdet2_iterations", "train", 100, "loss", 0.5],
        ["mmdet2_iterations", "val", 50, "AP", 0.125],
    ]


# --- the command -------------------------------------------------------------------------------


def test_every_format_in_one_picture(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = sorted(logs.iterdir())
    out = tmp_path / "curves.svg"
    assert plot(*places, "--out", out, "--epoch-steps", 100, "--title", "All of them") == 0
    picture = out.read_text()
    for text in (
        "All of them",
        "total loss",
        "learning rate",
        "validation",
        "mmdet2.log.json",
        "step",
    ):
        assert f">{text}</text>" in picture, text
    said = capsys.readouterr().out
    assert "nanodet log, step 60, loss 0.9375, best AP 0.3539, rows written twice: 1" in said
    assert '--keys "*loss*" draws them' in said
    assert [path.name for path in tmp_path.iterdir()] == ["curves.svg"]


def test_the_command_draws_a_png_or_writes_a_table(logs: Path, tmp_path: Path) -> None:
    assert plot(logs / "own.csv", "--out", tmp_path / "a.png", "--keys", "loss*") == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > picture.size[1] > 300
    assert plot(logs / "own.csv", "--out", tmp_path / "a.csv", "--keys", "lr") == 0
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == [
        "run,split,step,quantity,value",
        "own,train,0,lr,0.001",
    ]
    (tmp_path / "=1+1.csv").write_text("step,@SUM(A1)\n1,2\n")
    assert plot(tmp_path / "=1+1.csv", "--out", tmp_path / "a.csv") == 0
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "'=1+1,train,1,'@SUM(A1),2.0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.log"], "none.log: no such file"),
        (["own.csv", "--out", "a.gif"], "a.gif: the name must end in .png, .pdf, .svg, .csv"),
        (["own.csv", "--out", "nowhere/a.png"], "there is no folder nowhere; make it first"),
        (["own.csv", "--keys", "AP"], "no log has 'AP'; there are loss, loss_box, lr"),
        (["own.csv", "detr.txt"], "give the steps of an epoch as --epoch-steps N"),
        (["own.csv", "--smooth", "0"], "--smooth: must be a whole number of at least 1, got '0'"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(
    logs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(logs)
    before = sorted(logs.iterdir())
    assert plot(*arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said
    assert sorted(logs.iterdir()) == before


def test_a_log_that_only_begins_leaves_an_old_picture_alone(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n")
    (tmp_path / "curves.png").write_text("old")
    assert plot(tmp_path, "--out", tmp_path / "curves.png") == 2
    assert (tmp_path / "curves.png").read_text() == "old"


@pytest.mark.parametrize("name", ["NanoDet-Plus {} pixels", "{}"])
def test_the_legend_fits_into_a_single_panel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = panels(monkeypatch, [made(name.format(i), loss=[2.0, 1.0]) for i in range(6)])
    figure = drawn["total loss"].figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1


def test_logs_without_losses_draw_what_they_have(tmp_path: Path) -> None:
    scored = made("scored", recall=[0.25, 0.5])
    assert choose(on_one_axis([scored], None)) == (["recall"], [])
    with pytest.raises(UserError, match="bare: holds steps and no loss, learning rate or metric"):
        choose(on_one_axis([made("bare", step=[0, 1])], None))


def test_control_codes_of_a_log_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text("step,\x1b]31mloss\n0,1\n1,2\n")
    assert plot(tmp_path / "log.csv", "--out", tmp_path / "out.csv") == 0
    assert capsys.readouterr().out.endswith("out.csv: ?]31mloss\n")
