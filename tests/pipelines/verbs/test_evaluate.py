"""`unidet evaluate`: parts of the images, several files, fixed AP, the official packages' word."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from commands import complaint_of, exit_status, write_small_files

from unidet.evaluation import pycocotools_package


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_files(tmp_path)


def check(style: str) -> tuple[str, ...]:
    return ("evaluate", "truth.json", "results.json", "--style", style, "--check-official")


def test_coco_is_compared_with_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(*check("coco")) == 0
    printed = capsys.readouterr()
    assert "AP         1.0000" in printed.out
    assert printed.out.splitlines()[-1].startswith("equal to pycocotools within 1e-06")


def test_a_difference_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dict.fromkeys(pycocotools_package.KEYS, 0.25)
    monkeypatch.setattr(pycocotools_package, "pycocotools_metrics", lambda *paths: keys)
    assert exit_status(*check("coco")) == 2
    assert "differs from that of pycocotools by" in capsys.readouterr().err


def test_what_pycocotools_does_not_take_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    truth = json.loads(Path("truth.json").read_text())
    del truth["annotations"][0]["iscrowd"]
    Path("truth.json").write_text(json.dumps(truth))
    assert exit_status(*check("coco")) == 2
    (complaint,) = capsys.readouterr().err.splitlines()
    assert "pycocotools cannot evaluate results.json against truth.json (KeyError" in complaint


def test_proposals_have_no_official_package(capsys: pytest.CaptureFixture[str]) -> None:
    results = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}]
    Path("results.json").write_text(json.dumps(results))
    complaint = complaint_of(*check("proposals")[:1], capsys, *check("proposals")[1:])
    assert "styles lvis and coco alone" in complaint


def write_two_images() -> None:
    """One box in each of two images; the results find that of image 1 exactly, of image 2 not."""
    truth = json.loads(Path("truth.json").read_text())
    lists = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    first = truth["images"][0] | lists
    truth["images"] = [first, first | {"id": 2, "file_name": "b.png"}]
    truth["annotations"].append(truth["annotations"][0] | {"id": 2, "image_id": 2})
    truth["categories"][0]["frequency"] = "r"
    Path("truth.json").write_text(json.dumps(truth))
    subset = truth | {"images": truth["images"][:1], "annotations": truth["annotations"][:1]}
    Path("subset.json").write_text(json.dumps(subset))
    result = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}
    missing = result | {"image_id": 2, "bbox": [3, 3, 2, 2]}
    Path("results.json").write_text(json.dumps([result, missing]))


def test_a_part_of_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    write_two_images()
    command = ("evaluate", "truth.json", "results.json", "--style", "lvis")
    assert exit_status(*command) == 0
    whole = capsys.readouterr().out
    assert exit_status(*command, "--images", "subset.json") == 0
    part = capsys.readouterr().out
    assert "AP         1.0000" in part
    assert "AP         1.0000" not in whole


def test_ids_of_other_images_are_no_part(capsys: pytest.CaptureFixture[str]) -> None:
    """As LVIS's minival beside another data set: every id is there, and means another image."""
    write_two_images()
    command = ("truth.json", "results.json", "--style", "lvis", "--images", "subset.json")
    subset = json.loads(Path("subset.json").read_text())
    for name, same in (("val2017/{}.jpg", True), ("x\\{}.png", True), ("other.png", False)):
        stem = Path(json.loads(Path("truth.json").read_text())["images"][0]["file_name"]).stem
        subset["images"][0]["file_name"] = name.format(stem)
        Path("subset.json").write_text(json.dumps(subset))
        if same:
            assert exit_status("evaluate", *command) == 0
        else:
            complaint = complaint_of("evaluate", capsys, *command)
            assert f"image 1 is 'other', in truth.json '{stem}'; the ids are of other" in complaint


def test_images_that_are_not_in_the_ground_truth(capsys: pytest.CaptureFixture[str]) -> None:
    write_two_images()
    Path("truth.json").rename("larger.json")
    Path("subset.json").rename("truth.json")
    complaint = complaint_of(
        "evaluate", capsys, "truth.json", "results.json", "--style=lvis", "--images=larger.json"
    )
    assert "larger.json: image 2 is not in truth.json" in complaint


def test_fixed_ap_of_several_files_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """Two detections of image 1: with one a category, the better one, which is wrong, stays."""
    write_two_images()
    right = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}
    wrong = {"image_id": 2, "category_id": 1, "bbox": [7, 7, 1, 1], "score": 0.9}
    Path("wrong.json").write_text(json.dumps([right, wrong]))
    command = ("evaluate", "truth.json", "results.json", "wrong.json", "--style", "lvis")
    options = ("--max-detections-per-category", "1", "--out", "metrics.json")
    assert exit_status(*command, *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["[1] results.json", "[2] wrong.json", " " * 10 + "    [1]    [2]"]
    metrics = json.loads(Path("metrics.json").read_text())
    assert metrics["wrong.json"]["AP"] > 0
    assert metrics["wrong.json"]["AP_fixed"] == metrics["wrong.json"]["APr_pooled"] == 0
    # the better of one right and one wrong of equal score is the first: image 1's
    assert metrics["results.json"]["AP_fixed"] == pytest.approx(51 / 101)


def test_names_of_files_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path("\x1b[2J.json")
    copy.write_bytes(Path("results.json").read_bytes())
    assert exit_status("evaluate", "truth.json", "results.json", str(copy), "--style=coco") == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["[1] results.json", "[2] ?[2J.json"]


def test_fixed_ap_is_of_lvis(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("truth.json", "results.json", "--style=coco", "--max-detections-per-category=9")
    assert "fixed AP is defined for --style lvis" in complaint_of("evaluate", capsys, *options)


def test_the_commands_of_the_page_run() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "evaluation.md"
    commands = re.findall(r"^unidet (evaluate .+)$", page.read_text(), re.MULTILINE)
    assert len(commands) == 6
    write_two_images()
    Path("baseline.json").write_text(Path("results.json").read_text())
    for command in commands:
        assert exit_status(*shlex.split(command)) == 0


def test_each_category_s_confusion_and_calibration_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("evaluate", "truth.json", "results.json", "--style", "coco")
    assert exit_status(*arguments, "--per-category", "table.csv") == 0
    assert re.search(r"^ECE +\d", capsys.readouterr().out, re.MULTILINE)
    head, *rows = Path("table.csv").read_text().splitlines()
    assert head.endswith("AP,AP50,AR,right,confused,missed,called,ECE")
    assert rows
    proposals = (*arguments[1:3], "--style", "proposals", "--per-category", "table.csv")
    assert "takes one results file" in complaint_of("evaluate", capsys, *proposals)


@pytest.mark.parametrize(
    ("style", "most", "beyond"),
    [("coco", 100, "of its category in its image"), ("lvis", 300, "of its image")],
)
def test_detections_that_are_too_many_are_said(
    style: str, most: int, beyond: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_images()
    command = ("evaluate", "truth.json", "results.json", "--style", style)
    for count, noted in ((most, ""), (most + 2, f"2 × detection beyond the {most} best {beyond}:")):
        box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
        results = [box | {"score": 1 / (row + 1)} for row in range(count)]
        Path("results.json").write_text(json.dumps([*results, box | {"image_id": 2, "score": 1}]))
        assert exit_status(*command) == 0
        assert bool(noted) == ("beyond" in (notes := capsys.readouterr().err))
        assert noted in notes


def test_images_without_detections_and_other_categories_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The second image is in no part of the first; twelve boxes of one category are called so."""
    write_two_images()
    one = json.loads(Path("results.json").read_text())[0]
    Path("results.json").write_text(json.dumps([one]))
    command = ("evaluate", "truth.json", "results.json", "--style", "coco")
    assert exit_status(*command) == 0
    assert "note: results.json: 1 × image with boxes, of 2" in capsys.readouterr().err
    assert exit_status(*command, "--images", "subset.json") == 0
    assert "note" not in capsys.readouterr().err

    truth = json.loads(Path("truth.json").read_text())
    truth["categories"].append({"id": 2, "name": "dog", "frequency": "r"})
    box = truth["annotations"][0]
    truth["annotations"] = [
        box | {"id": row + 1, "category_id": 2, "bbox": [row, 0, 1, 1], "area": 1}
        for row in range(12)
    ]
    truth["images"] = [truth["images"][0] | {"width": 12}]
    Path("truth.json").write_text(json.dumps(truth))
    results = [one | {"bbox": [row, 0, 1, 0.9], "score": 1 / (row + 1)} for row in range(12)]
    Path("results.json").write_text(json.dumps(results))
    assert exit_status(*command) == 0
    notes = capsys.readouterr().err
    assert "of 12 detections that lie on a box (IoU .5) 0 have its category, those call" in notes
    Path("results.json").write_text(json.dumps([row | {"category_id": 2} for row in results]))
    assert exit_status(*command) == 0
    assert "note" not in capsys.readouterr().err


def test_one_file_is_not_asked_to_hold_metrics_and_categories(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("truth.json", "results.json", "--style=coco", "--out=a.csv")
    complaint = complaint_of("evaluate", capsys, *options, "--per-category=./a.csv")
    assert "--per-category: ./a.csv is that of --out" in complaint


def test_results_with_ids_of_their_own_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """As `detect` writes them without --annotations; proposals are of no category."""
    Path("results.json").rename("detections.json")
    Path(".unidet_detect.jsonl").touch()
    listed = json.loads(Path("truth.json").read_text())
    listed |= {"annotations": [], "categories": [{"id": 2, "name": "cat"}]}
    Path("images.json").write_text(json.dumps(listed))
    command = ("truth.json", "detections.json", "--style")
    complaint = complaint_of("evaluate", capsys, *command, "coco")
    assert "category 'cat' is 2 there, 1 in truth.json; detect with the ids of" in complaint
    assert exit_status("evaluate", *command, "proposals") == 0
