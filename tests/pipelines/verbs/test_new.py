"""`unidet new`: what it writes and says, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import complaint_of, exit_status
from labelled import write_labels, write_pictures, write_twelve
from PIL import Image

from unidet.config.compose import compose
from unidet.config.folders import STUDY, take_folders
from unidet.config.study import Config
from unidet.data.own_data import reader_of
from unidet.formats.labels.recognize import UNFINISHED
from unidet.pipelines.engine.graph import needed
from unidet.pipelines.wiring import new_weights
from unidet.weights.layouts import nanodet_plus
from unidet.weights.layouts.layout import Layout, Weights
from unidet.weights.layouts.unidetector import STAGE1, STAGE2
from unidet.weights.write import write_safetensors


@pytest.fixture(params=["photos", "my 'photos', [1] ${x} 日本"])
def photos(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / request.param
    labels = write_twelve(place)
    (tmp_path / "labels").mkdir()
    reader_of("coco").write(labels, tmp_path / "labels", place)
    return place


def new(photos: Path, name: str, *arguments: object) -> Path:
    """The folder of a new study."""
    folder = photos.parent / name
    places = ("--images", photos, "--annotations", photos.parent / "labels")
    assert exit_status("new", folder, *places, *arguments) == 0
    return folder


def study(folder: Path) -> Config:
    return compose(take_folders(["-C", str(folder)])[0].before([]))


def test_a_closed_set_study_names_its_sets(photos: Path) -> None:
    folder = new(photos, "birds")
    config = study(folder)
    assert config.experiment == "birds"
    assert config.data.root == str(folder / "annotations")
    (training,), (evaluation,) = config.data.training.values(), config.data.evaluation.values()
    assert (training.annotations, training.images) == ("train.json", str(photos))
    assert (evaluation.annotations, evaluation.style) == ("val.json", "coco")
    assert config.store.root == str(folder / "outputs")
    assert config.clip_embeddings.source == "none"
    assert config.rpn.classes == "dataset"
    assert "coco_eval[own]" in [str(node) for node in needed("report", config)]


def test_how_it_is_divided_is_recorded(photos: Path) -> None:
    folder = new(photos, "birds", "--seed", 3, "--evaluation", 0.5)
    for part in ("train", "val"):
        content = json.loads((folder / "annotations" / f"{part}.json").read_text())
        assert len(content["images"]) == 6
        assert content["info"] == {
            "format": "coco",
            "part": part,
            "division": {"by": "content", "seed": 3, "evaluation": 0.5},
        }


def test_a_study_with_clip_reads_its_files(photos: Path) -> None:
    clip = photos.parent / "clip"
    clip.mkdir()
    for name in ("RN50.pt", "bpe_simple_vocab_16e6.txt.gz"):
        (clip / name).touch()
    config = study(new(photos, "any", "--clip", clip))
    assert config.clip.kind == "openai"
    assert (config.clip.checkpoint, config.clip.merges) == (
        str(clip / "RN50.pt"),
        str(clip / "bpe_simple_vocab_16e6.txt.gz"),
    )
    assert config.clip_embeddings.source == "clip"
    nodes = [str(node) for node in needed("report", config)]
    assert {"clip", "roi", "lvis_eval[own]"} <= {*nodes}
    assert "coco_eval[own]" not in nodes


def test_a_study_with_ready_embeddings_reads_them(photos: Path) -> None:
    file = photos.parent / "names.npy"
    np.save(file, np.ones((3, 1024), np.float32))
    config = study(new(photos, "ready", "--embeddings", file))
    assert config.clip.kind == "none"
    assert config.clip_embeddings.source == "files"
    assert config.clip_embeddings.files == {"own": str(file)}
    assert "clip" not in [str(node) for node in needed("report", config)]


def test_weights_are_where_training_starts(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = photos.parent / "net.safetensors"
    shapes = nanodet_plus.M.shapes()  # a side is None where any number of classes will do
    zeros = {name: [side or 36 for side in shape] for name, shape in shapes.items()}
    write_safetensors(weights, {name: np.zeros(own, np.float32) for name, own in zeros.items()})
    capsys.readouterr()
    assert study(new(photos, "started", "--weights", weights)).rpn.weights == str(weights)
    said = capsys.readouterr().out
    assert "has outputs for 4 classes, 0 of your 3 names among them; new are" in said


def test_labels_are_read_again_and_the_study_file_kept(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new(photos, "birds")
    file = folder / "experiment/study.yaml"
    file.write_text(file.read_text() + "seed: 5\n")
    labels = photos.parent / "labels/annotations.json"
    labels.write_text(labels.read_text().replace('"red"', '"crimson"'))
    places = ("--images", photos, "--annotations", photos.parent / "labels")
    assert exit_status("new", folder, *places) == 2
    assert "exists already; --again reads its labels again" in capsys.readouterr().err
    capsys.readouterr()
    new(photos, "birds", "--again")
    said = capsys.readouterr().out
    assert "kept; its labels were read again" in said
    assert "scratch" not in said  # the kept file says what it starts from
    assert "no text encoder" not in said
    assert study(folder).seed == 5
    assert '"crimson"' in (folder / "annotations/train.json").read_text()


@pytest.mark.parametrize("format_name", ["coco", "yolo"])
def test_labels_that_have_changed_are_told_with_what_reads_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format_name: str
) -> None:
    photos = write_pictures(tmp_path / "photos")
    labels = write_labels(tmp_path / "it's labels", format_name)
    file = labels / {"coco": "labels.json", "yolo": "data.yaml"}[format_name]
    folder = tmp_path / "birds"
    places = ("--images", photos, "--annotations", labels, "--seed", 4, "--format", format_name)
    assert exit_status("new", folder, *places) == 0

    def told() -> str:
        capsys.readouterr()
        assert exit_status("-C", folder, "status", "--json") == 0
        return capsys.readouterr().err

    (labels / ".hidden.txt").write_text("")
    (labels / "nowhere.data").symlink_to("lost")
    (labels / "folder.data").mkdir()
    os.utime(file, (1, 1))
    assert told() == ""  # other times, the same content
    before, times = file.read_text("utf-8"), file.stat()
    file.write_text(re.sub(r"\bcat\b", "fox", before), "utf-8")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    said = told()
    assert said.startswith(f"note: {labels}: the labels have changed since this study read them")
    again = shlex.split(said.rpartition("to read them again: unidet ")[2])
    assert again[-5:] == ["--seed", "4", "--evaluation", "0.25", "--again"]
    for command in (("stage=data",), ("why", "data"), ("data", "check")):
        assert exit_status("-C", folder, *command) == 0
        assert said in capsys.readouterr().err
    assert exit_status(*again) == 0
    assert told() == ""
    assert '"fox"' in (folder / "annotations/train.json").read_text("utf-8")
    labels.rename(tmp_path / "elsewhere")
    assert told() == ""
    (folder / "annotations/read_from.json").write_text("{}")
    assert exit_status("-C", folder, "status") == 2
    assert "read_from.json: is damaged" in capsys.readouterr().err


def test_what_was_found_is_said_also_as_json(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new(photos, "birds", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["study"] == str(folder / "experiment/study.yaml")
    assert told["lines"][0].startswith("coco: 12 images, 18 boxes, 3 names (")


def test_copies_of_trained_pictures_are_noted_and_odd_names_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Twelve images of which the data say that the last is for evaluation; it is the first."""
    labels = write_twelve(tmp_path / "photos")
    parts = [replace(image, part="train") for image in labels.images]
    parts[-1] = replace(parts[-1], part="val")
    (tmp_path / "labels").mkdir()
    reader_of("coco").write(
        replace(labels, images=tuple(parts)), tmp_path / "labels", tmp_path / "photos"
    )
    shutil.copy(tmp_path / "photos/00.png", tmp_path / "photos/11.png")
    new(tmp_path / "photos", "copies")
    said = "1 × image for evaluation with the content of one for training"
    assert f"note: {said}, which flatters what is evaluated, first 11.png is 00.png" in (
        capfd.readouterr().out
    )
    yolo = tmp_path / "labels of yolo"
    yolo.mkdir()
    (yolo / "data.yaml").write_text("names: [cat]\n")
    (yolo / "a\nb.txt").write_text("0 .5 .5 .4 .4\n")
    shutil.copy(tmp_path / "photos/00.png", tmp_path / "photos/a\nb.png")
    places = ("--images", tmp_path / "photos", "--annotations", yolo)
    assert exit_status("new", tmp_path / "odd", *places) == 2
    assert "must be a path, in characters that print" in capfd.readouterr().err


def test_fewer_pictures_for_evaluation_than_asked_for_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hand: each of the 3 images has a name of its own, so that one of them is all that can
    go, where 2 are asked for."""
    boxes = [{"category_id": number, "bbox": [1, 1, 4, 4]} for number in (1, 2, 3)]
    names = [f"{number}.png" for number in (1, 2, 3)]
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(names, start=1):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "photos" / name)
    content = {
        "images": [{"id": id_, "file_name": name} for id_, name in enumerate(names, start=1)],
        "categories": [{"id": id_, "name": f"n{id_}"} for id_ in (1, 2, 3)],
        "annotations": [{"id": i, "image_id": i, **box} for i, box in enumerate(boxes, start=1)],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    places = ("--images", tmp_path / "photos", "--annotations", tmp_path / "labels.json")
    assert exit_status("new", tmp_path / "own", *places, "--evaluation", 0.6) == 0
    said = capsys.readouterr().out
    assert "2 images for training, 1 for evaluation" in said
    assert "note: fewer for evaluation than --evaluation 0.6 asks for: every name keeps" in said


def with_flags(folder: Path, flags: dict[str, dict[str, int]]) -> tuple[object, ...]:
    """Arguments for the twelve images, their boxes of names with more fields."""
    reader_of("coco").write(write_twelve(folder / "photos"), folder, folder / "photos")
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    for box in content["annotations"]:
        box |= flags.get(names[box["category_id"]], {})
    file.write_text(json.dumps(content))
    return "--images", folder / "photos", "--annotations", file


def test_boxes_that_are_not_trained_on_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six boxes of each of the three names: in 18 boxes two names of which nothing is learned."""
    places = with_flags(tmp_path, {"red": {"iscrowd": 1}, "blue": {"ignore": 1}})
    assert exit_status("new", tmp_path / "own", *places) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("coco: 12 images, 18 boxes, 3 names")
    assert "note: 2 names have no box for training: red, blue" in said
    assert "note: 2 names have no box for evaluation: red, blue" in said
    assert "note: 6 × skipped: annotation marked 'ignore', first annotations[2] (id 3)" in said
    assert (
        "note: 6 × crowd ('iscrowd', IsGroupOf, difficult): not trained on, COCO AP does not count "
        "it, first annotations[0] (id 1)"
    ) in said


# --- what is refused ---------------------------------------------------------------------------


def test_crowds_alone_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = with_flags(tmp_path, {name: {"iscrowd": 1} for name in ("red", "green", "blue")})
    said = complaint_of("new", capsys, tmp_path / "own", *places)
    assert "annotations.json: all 18 usable boxes are crowds ('iscrowd', IsGroupOf, diff" in said
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("inside", ["photos", "photos/study", "labels", "labels/a/b"])
def test_nothing_is_written_into_folders_of_the_user(
    tmp_path: Path, inside: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "photos")
    write_labels(tmp_path / "labels", "coco")
    monkeypatch.chdir(tmp_path)
    places = ("--images", "photos", "--annotations", "labels")
    complaint = complaint_of("new", capsys, inside, *places)
    assert "lies in the folder of --" in complaint
    assert not list(tmp_path.rglob("study.yaml"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--clip", "labels"), "--clip * holds no RN50.pt, one of OpenAI's files"),
        (("--embeddings", "none.npy"), "--embeddings * no such file"),
        (("--embeddings", "two.npy"), "the vocabulary has 3 categories"),
        (("--weights", "none.pth"), "--weights * no such file"),
        (("--weights", "two.npy"), "--weights */two.npy"),
        (("--evaluation", "1"), "must be a number from 0.01 to 0.9"),
        (("--format", "voc"), "looks like coco, not voc"),
        (("--format", "xml"), "invalid choice"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    arguments: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = write_twelve(tmp_path / "photos")
    (tmp_path / "labels").mkdir()
    reader_of("coco").write(labels, tmp_path / "labels", tmp_path / "photos")
    np.save(tmp_path / "two.npy", np.ones((2, 1024), np.float32))
    monkeypatch.chdir(tmp_path)
    places = ("--images", "photos", "--annotations", "labels")
    complaint = complaint_of("new", capsys, "birds", *places, *arguments)
    assert all(part in complaint for part in says.split("*"))


@pytest.mark.parametrize(
    ("layout", "text", "says"),
    [
        (STAGE1, (), "is a proposal network (cln), which tells no classes apart; a closed-set "),
        (
            STAGE2,
            (),
            "holds UniDetector's second stage * starts from nanodet_plus_m or torchvision",
        ),
        (
            STAGE1,
            ("--embeddings", "three.npy"),
            "a study with text starts from a model.safetensors",
        ),
    ],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path,
    layout: Layout,
    text: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_pictures(tmp_path / "photos")
    write_labels(tmp_path / "labels", "coco")
    np.save(tmp_path / "three.npy", np.ones((3, 1024), np.float32))
    (tmp_path / "s1.pth").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(new_weights, "open_weights", lambda path: Weights(layout, {}, ()))
    places = ("--images", "photos", "--annotations", "labels", "--weights", "s1.pth")
    complaint = complaint_of("new", capsys, "birds", *places, *text)
    assert all(part in complaint for part in says.split("*"))


@pytest.mark.parametrize("side", ["width", "height"])
def test_pictures_of_another_size_than_labelled_are_refused(
    tmp_path: Path, side: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stage `data` would refuse them, after the study is written."""
    write_pictures(tmp_path / "photos")
    file = write_labels(tmp_path / "labels", "coco") / "labels.json"
    content = json.loads(file.read_text())
    content["images"][0][side] += 1
    file.write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    places = ("--images", "photos", "--annotations", "labels")
    assert "a.png: is 100x80, its labels say 10" in complaint_of("new", capsys, "birds", *places)


def test_pictures_that_training_does_not_read_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_pictures(tmp_path / "photos")
    Image.new("F", (100, 80)).save(photos / "a.png", "TIFF")
    write_labels(tmp_path / "labels", "voc")
    monkeypatch.chdir(tmp_path)
    places = ("--images", "photos", "--annotations", "labels")
    assert "a.png: its pixels are of mode F, " in complaint_of("new", capsys, "birds", *places)
    assert exit_status("data", "check", *places) == 1
    assert "1 × its pixels are of mode F, which has no one meaning" in capsys.readouterr().out


def test_labels_that_training_cannot_use_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stage `data` would, after the study is written; what it leaves out in part is told."""
    photos = write_pictures(tmp_path / "photos")
    file = write_labels(tmp_path / "labels", "coco") / "labels.json"
    content = json.loads(file.read_text())
    content["annotations"].append({**content["annotations"][0], "id": 9, "bbox": [1, 1, 0, 9]})
    file.write_text(json.dumps(content))
    places = ("--images", photos, "--annotations", file)
    assert exit_status("new", tmp_path / "birds", *places) == 0
    assert "note: 1 × skipped: box thinner than 1 pixel, first" in capsys.readouterr().out
    for box in content["annotations"]:
        box["bbox"] = [1, 1, 0, 9]
    file.write_text(json.dumps(content))
    said = complaint_of("new", capsys, tmp_path / "cats", *places)
    assert "none of its 4 annotations has a usable box" in said


def test_pictures_of_twelve_bits_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_pictures(tmp_path / "photos")
    Image.fromarray(np.full((80, 100), 4095, np.uint16)).save(photos / "a.png")
    write_labels(tmp_path / "labels", "voc")
    places = ("--images", photos, "--annotations", tmp_path / "labels")
    assert exit_status("data", "check", *places) == 0
    said = capsys.readouterr().out
    assert "note: 1 × image that the network sees nearly black, once its 16 bits" in said
    assert exit_status("new", tmp_path / "birds", *places) == 0


@pytest.mark.parametrize("again", [(), ("--again",)])
def test_what_a_killed_command_has_left_is_written_anew(
    tmp_path: Path, again: tuple[str, ...]
) -> None:
    photos, folder = write_pictures(tmp_path / "photos"), tmp_path / "birds"
    write_labels(tmp_path / "labels", "coco")
    for name in (UNFINISHED, "annotations/train.json", "annotations/.5e1f.json", STUDY):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    new(photos, "birds", *again)
    assert (folder / STUDY).stat().st_size
    names = sorted(file.name for file in folder.rglob("*") if file.is_file())
    assert names == ["read_from.json", "study.yaml", "train.json", "val.json"]


def test_labels_of_two_divisions_never_lie_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image would be in both parts."""
    photos = tmp_path / "photos"
    labels = write_twelve(photos)
    (tmp_path / "labels").mkdir()
    reader_of("coco").write(labels, tmp_path / "labels", photos)
    folder = new(photos, "birds") / "annotations"
    places = ("--images", photos, "--annotations", tmp_path / "labels")
    replaced: list[Path] = []

    def killed_at_the_second(partial: Path, place: Path) -> None:
        replaced.append(place)
        if len(replaced) == 2:
            raise KeyboardInterrupt
        os.replace(partial, place)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed_at_the_second)
        assert exit_status("new", folder.parent, *places, "--again", "--seed", 3) != 0
    assert len([*folder.glob("[tv]*.json")]) == 1
    new(photos, "birds", "--again", "--seed", 3)
    assert len([*folder.glob("[tv]*.json")]) == 2


def test_a_folder_with_other_files_is_no_place_for_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`annotations/` would be written to, which is the user's."""
    write_pictures(tmp_path / "photos")
    write_labels(tmp_path / "annotations", "coco")
    monkeypatch.chdir(tmp_path)
    places = ("--images", "photos", "--annotations", "annotations")
    assert "is not empty; name a new folder" in complaint_of("new", capsys, ".", *places)
    assert [file.name for file in (tmp_path / "annotations").iterdir()] == ["labels.json"]
