"""`unidet data`: check, stats and convert, of folders and of a study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import complaint_of, exit_status
from labelled import LABELS, write_labels, write_pictures, write_twelve

from unidet.data.own_data import reader_of
from unidet.formats.labels.recognize import FORMATS, UNFINISHED
from unidet.formats.labels.records import Labels
from unidet.pipelines.wiring import data_report

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit status, and what was printed."""

    def command(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        return exit_status(*arguments), capsys.readouterr().out

    return command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def places(photos: Path, format_name: str = "coco") -> tuple[object, ...]:
    labels = photos.parent / "labels"
    if not labels.exists():
        write_labels(labels, format_name)
    return "--images", photos, "--annotations", labels


@pytest.mark.parametrize("format_name", [name for name in FORMATS if name != "coco"])
def test_labels_without_a_fault_are_sound(run: Run, photos: Path, format_name: str) -> None:
    status, said = run("data", "check", *places(photos, format_name))
    assert (status, said.splitlines()[-1]) == (0, "no fault")


def test_every_fault_is_told_with_its_count_and_first_record(run: Run, photos: Path) -> None:
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    content["annotations"][1]["category_id"] = 7
    content["images"][1]["width"] = 61
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    (photos / "copy.png").write_bytes((photos / "a.png").read_bytes())
    status, said = run("data", "check", *places(photos))
    assert status == 1
    assert said.splitlines() == [
        "labels (labels.json): 2 images, 2 boxes",
        "  fault: 1 × category_id is not among the categories, first annotations[1] (id 2)",
        "  fault: 1 × image of another size than its annotations say, first in/b.png",
        "  note: 1 × image that no annotation file lists, first copy.png",
    ]


def test_an_image_that_is_gone_is_named_where_labels_give_no_sizes(run: Run, photos: Path) -> None:
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    for image in content["images"]:
        del image["width"], image["height"]
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    (photos / "in/b.png").unlink()
    status, said = run("data", "check", *places(photos))
    assert status == 1
    gone = "  fault: 1 × its file is not in the images folder, first images[1] (id 2) 'in/b.png'"
    assert [line for line in said.splitlines() if "fault:" in line] == [gone]


def test_a_fault_of_another_format_names_its_file(run: Run, photos: Path) -> None:
    labels = places(photos, "yolo")
    (photos.parent / "labels/labels/a.txt").write_text("9 0.3 0.5 0.4 0.5\n")
    status, said = run("data", "check", *labels, "--json")
    told = json.loads(said)
    assert status == 1
    assert told["sound"] is False
    (kind,) = told["sets"][0]["faults"]["refused"]
    assert kind == "the class must be 0 to 1"
    assert told["sets"][0]["faults"]["refused"][kind]["first"].endswith("a.txt: line 1")


def test_what_is_read_otherwise_than_written_is_noted(run: Run, photos: Path) -> None:
    """Of formats that become COCO's on the way too."""
    labels = places(photos, "labelme")
    file = photos.parent / "labels/a.json"
    content = json.loads(file.read_text())
    content["shapes"].append({"label": "cat", "points": [[1, 2]], "shape_type": "point"})
    file.write_text(json.dumps(content))
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes())
    status, said = run("data", "check", *labels)
    assert status == 0
    assert "  note: 1 × shape 'point' has no box" in said
    assert said.count("image that no annotation file lists, first c.png") == 1


def test_crowds_are_noted(run: Run, photos: Path) -> None:
    """Masks of CVAT's brush are crowds, which nobody asked for."""
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    content["annotations"][1]["iscrowd"] = 1
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    status, said = run("data", "check", *places(photos))
    assert status == 0
    assert said.splitlines()[1] == (
        "  note: 1 × crowd ('iscrowd', IsGroupOf, difficult): not trained on, COCO AP does not "
        "count it, first annotations[1] (id 2)"
    )


@pytest.mark.parametrize(("down", "count"), [(0, 0), (15, 3)])
def test_boxes_elsewhere_than_their_polygons_are_noted(
    run: Run, photos: Path, down: float, count: int
) -> None:
    """As where y counts from the bottom; 15 pixels are more than a third of each box."""
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    for box in content["annotations"]:
        left, top, width, height = box["bbox"]
        assert height < 45
        sides = left, left + width, top + down, top + down + height
        box["segmentation"] = [[sides[side] for side in (0, 2, 1, 2, 1, 3, 0, 3)]]
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    status, said = run("data", "check", *places(photos))
    assert status == 0
    note = f"{count} × box that is not around its 'segmentation': kept, as officially, first anno"
    assert (note in said) == (count > 0)


def test_labels_that_are_left_out_are_labels(run: Run, photos: Path) -> None:
    """A task that was skipped, and a record at fault: their images are not unlisted too."""
    labels = places(photos, "labelstudio")
    file = photos.parent / "labels/export.json"
    content = json.loads(file.read_text())
    content[1]["annotations"] = []
    file.write_text(json.dumps(content))
    status, said = run("data", "check", *labels)
    assert (status, said.count("note:")) == (0, 1)
    assert "task that nobody has annotated: left out" in said
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes())
    assert (
        "  note: 1 × image that no annotation file lists, first c.png"
        in run("data", "check", *labels)[1]
    )


def test_a_record_at_fault_lists_its_image(run: Run, photos: Path) -> None:
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    content["images"][1]["id"] = "2"
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    status, said = run("data", "check", *places(photos))
    assert status == 1
    assert "no annotation file lists" not in said


def test_labels_of_which_nothing_is_sound_are_faults_too(run: Run, photos: Path) -> None:
    labels = places(photos, "voc")
    for name in ("a.xml", "b.xml"):
        (photos.parent / "labels" / name).write_text("<annotation>")
    status, said = run("data", "check", *labels)
    assert status == 1
    assert said.splitlines()[0] == "labels: 0 images, 0 boxes"
    assert said.splitlines()[1].startswith("  fault: 2 × must be whole XML")


def test_evaluation_pictures_that_are_trained_on_are_a_fault(run: Run, photos: Path) -> None:
    place = photos.parent / "labels"
    place.mkdir()
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    for part in ("train", "val"):
        (place / f"{part}.json").write_text(json.dumps(content))
    status, said = run("data", "check", *places(photos))
    assert status == 1
    last = "fault: 2 × image of val that train trains on, first a.png is a.png"
    assert said.splitlines()[-1] == last


def test_parts_with_other_categories_are_a_fault(run: Run, photos: Path) -> None:
    """Of one study the parts have the same: `unidet new` would refuse what is called sound here."""
    place = photos.parent / "labels"
    place.mkdir()
    text = json.dumps(LABELS["coco"]["labels.json"])
    for part in ("train", "val"):
        (place / f"{part}.json").write_text(text)
        text = text.replace('"name": "dog"', '"name": "hound"')
    status, said = run("data", "check", *places(photos))
    assert status == 1
    assert "fault: 1 × category of val that train has not, first hound" in said


def test_a_study_is_checked_by_its_configuration(run: Run, tmp_path: Path) -> None:
    labels = write_twelve(tmp_path / "photos")
    (tmp_path / "labels").mkdir()
    reader_of("voc").write(labels, tmp_path / "labels", tmp_path / "photos")
    own = ("--images", tmp_path / "photos", "--annotations", tmp_path / "labels")
    assert exit_status("new", tmp_path / "study", *own) == 0
    status, said = run("-C", tmp_path / "study", "data", "check")
    assert status == 0
    assert said.splitlines() == [
        "training/own (train.json): 9 images, 14 boxes",
        "own (val.json): 3 images, 4 boxes",
        "no fault",
    ]


def test_sets_are_counted(run: Run, photos: Path) -> None:
    picture = photos.parent / "stats.png"
    status, said = run("data", "stats", *places(photos), "--out", picture)
    assert status == 0
    assert said.splitlines() == [
        "labels: 2 images, 3 boxes, 2 names",
        "  images 60x40 to 100x80, median 100x80",
        "  boxes an image: 1.5, at most 2",
        "  small (below 32² pixels) 2, medium 1, large (from 96²) 0",
        "  boxes by name: cat 2, dog 1",
        str(picture),
    ]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_label_spaces_are_compared_by_name(run: Run, photos: Path) -> None:
    place = write_labels(photos.parent / "labels", "coco") / "labels.json"
    other: dict[str, Any] = json.loads(place.read_text())
    other["categories"][0]["name"] = "Cat (animal)"
    other["categories"][1]["name"] = "fox"
    (photos.parent / "labels/other.json").write_text(json.dumps(other))
    sets = [
        f"data.{role}.{name}={{annotations: {file}, images: {photos}, vocabulary: {name}, {more}}}"
        for role, name, file, more in (
            ("training", "one", "labels.json", "limit: 0"),
            ("evaluation", "two", "other.json", "style: coco"),
        )
    ]
    root = f"data.root={place.parent}"
    status, said = run("data", "stats", "experiment=closed_set", root, *sets)
    assert status == 0
    assert said.splitlines()[-1] == "one, two: 1 name in common: cat"


@pytest.mark.parametrize("target", FORMATS)
def test_labels_are_converted(run: Run, photos: Path, target: str) -> None:
    out = photos.parent / "out"
    before = sorted(photos.rglob("*"))
    status, said = run("data", "convert", *places(photos, "cvat"), "--to", target, "--out", out)
    assert (status, said) == (0, f"{out}: 2 images, 3 boxes as {target}\n")
    assert sorted(photos.rglob("*")) == before


@pytest.mark.parametrize("target", FORMATS)
def test_no_label_file_replaces_another_where_the_disk_knows_no_capitals(
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
) -> None:
    monkeypatch.setattr("unidet.pictures.spelling.tells_apart", lambda folder: False)
    (photos / "A.png").write_bytes((photos / "a.png").read_bytes())
    labels = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    labels["images"].append({**labels["images"][0], "id": 99, "file_name": "A.png"})
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(labels))
    out = photos.parent / "out"
    given = ("convert", *places(photos), "--to", target, "--out", out)
    if target in ("yolo", "voc", "labelme"):
        said = complaint_of("data", capsys, *given, folder=photos.parent)
        assert "its disk takes a and A for one name" in said
    else:
        assert exit_status("data", *given) == 0


def test_crowds_that_are_lost_are_counted(run: Run, photos: Path) -> None:
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    content["annotations"][0]["iscrowd"] = 1
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    out = photos.parent / "out"
    _, said = run("data", "convert", *places(photos), "--to", "yolo", "--out", out)
    assert said == f"note: 1 crowd left out: yolo has none\n{out}: 2 images, 2 boxes as yolo\n"


@pytest.mark.parametrize(
    ("table", "changes", "says"),
    [
        ("images", {"width": 50}, "a.png: is 100x80, its labels say 50x80; which frame"),
        ("annotations", {"bbox": [9, 9, -4, 3]}, "annotation of id 1: a box to convert must be"),
        ("annotations", {"bbox": [9, 9, 4, float("nan")]}, "finite numbers and no negative side"),
    ],
)
def test_labels_that_would_be_written_wrong_are_not_converted(
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    table: str,
    changes: dict[str, Any],
    says: str,
) -> None:
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    content[table][0] |= changes
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    out = photos.parent / "out"
    arguments = ("convert", *places(photos), "--to", "yolo", "--out", out)
    assert says in complaint_of("data", capsys, *arguments)
    assert not out.exists()


def test_a_side_that_labels_leave_out_is_the_picture_s(run: Run, photos: Path) -> None:
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    del content["images"][0]["height"]
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    status, said = run(
        "data", "convert", *places(photos), "--to", "yolo", "--out", photos.parent / "out"
    )
    assert (status, "2 images, 3 boxes" in said) == (0, True)


def test_annotations_to_be_ignored_are_not_converted_to_ordinary_ones(
    run: Run, photos: Path
) -> None:
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    content["annotations"][0]["ignore"] = 1
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    out = photos.parent / "out"
    run("data", "convert", *places(photos), "--to", "yolo", "--out", out)
    assert (out / "labels/a.txt").read_text() == "1 0.1 0.0625 0.2 0.125\n"


def test_labels_of_the_present_folder_are_called_by_its_name(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labels(photos.parent / "labels", "yolo")
    monkeypatch.chdir(photos.parent / "labels")
    _, said = run("data", "check", "--images", photos, "--annotations", ".")
    assert said.startswith("labels (labels): 2 images, 3 boxes")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("check", "--images", "photos"), "give both --images and --annotations"),
        (("convert",), "needs --images FOLDER --annotations PLACE --to FORMAT --out FOLDER"),
        (("check",), "this study has no set in folders"),
        (
            ("stats", "--images", "photos", "--annotations", "labels", "--out", "x.jpg"),
            "must end in .png",
        ),
        (
            *[("convert", "--images", "photos", "--annotations", "labels", "--to", "voc")],
            "needs --images",
        ),
        (
            (
                *("convert", "--images", "photos", "--annotations", "labels", "--to", "voc"),
                *("--out", "photos/new"),
            ),
            "photos/new: lies in the folder of --images, in which nothing is written",
        ),
        (
            (
                *("convert", "--images", "photos", "--annotations", "labels", "--to", "voc"),
                *("--out", "full"),
            ),
            "full: is not empty; name a new folder",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    photos: Path,
    arguments: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places(photos)
    (photos.parent / "full/file").mkdir(parents=True)
    monkeypatch.chdir(photos.parent)
    assert says in complaint_of("data", capsys, *arguments)


def test_a_conversion_that_was_killed_is_not_read_and_begins_anew(run: Run, photos: Path) -> None:
    """The mark is there while it writes."""
    out = photos.parent / "out"
    voc = reader_of("voc")
    marks = []

    def stopped(labels: Labels, folder: Path, images: Path) -> None:
        voc.write(labels, folder, images)
        marks.append(run("data", "check", "--images", photos, "--annotations", folder)[0])

    arguments = ("data", "convert", *places(photos), "--to", "voc", "--out", out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_report, "reader_of", lambda name: SimpleNamespace(write=stopped))
        assert run(*arguments)[0] == 0
    assert marks == [2]
    (out / UNFINISHED).touch()
    (out / "Annotations/a.xml").unlink()
    assert run(*arguments)[0] == 0
    assert run("data", "check", "--images", photos, "--annotations", out)[0] == 0


def test_boxes_outside_their_images_are_converted_with_a_note(run: Run, photos: Path) -> None:
    """A box across the border is kept without one."""
    content = json.loads(json.dumps(LABELS["coco"]["labels.json"]))
    width = content["images"][0]["width"]
    for annotation, left in zip(content["annotations"], (width, width - 2), strict=False):
        annotation |= {"image_id": content["images"][0]["id"], "bbox": [left, 0, 4, 4]}
    (photos.parent / "labels").mkdir()
    (photos.parent / "labels/labels.json").write_text(json.dumps(content))
    out = photos.parent / "out"
    _, said = run("data", "convert", *places(photos), "--to", "voc", "--out", out)
    assert "note: 1 box outside the image, written unchanged; unidet data check" in said
