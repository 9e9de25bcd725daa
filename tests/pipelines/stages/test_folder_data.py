"""Real-data stages on four small images in the layout of COCO, Objects365 and LVIS."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from studies import built, in_store

from unidet.cli import compose
from unidet.config.study import Config
from unidet.console import interrupt
from unidet.data.novelty import novel_categories
from unidet.errors import UserError
from unidet.pipelines.engine import engine, graph
from unidet.pipelines.engine.progress_lines import Done
from unidet.pipelines.stages import clip_embeddings
from unidet.pipelines.wiring.embedding_artefacts import EMBEDDINGS
from unidet.pipelines.wiring.image_sets import ImageSet, image_set_at, read_vocabulary
from unidet.pipelines.wiring.study_sets import images_folder
from unidet.vocabularies import vocabulary as lists
from unidet.vocabularies.vocabulary import Vocabulary

SIDE = 40
NAMES = {
    "coco": ["cat", "dog", "sofa"],
    "objects365": ["Cat", "Lamp"],
    "lvis_v1": ["cat", "couch", "zebra"],
    "lvis_v0_5": ["dog", "zebra"],
}


def document(vocabulary: str, images: list[int], **more: Any) -> dict[str, Any]:
    """One box of the first category in every image."""
    return {
        "images": [
            {"id": i, "file_name": f"{i:012d}.jpg", "width": SIDE, "height": SIDE, **more}
            for i in images
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [5, 5, 20, 10], "area": 200}
            for i in images
        ],
        "categories": [
            {"id": i, "name": name, "synonyms": ["sofa"] if name == "couch" else [name]}
            for i, name in enumerate(NAMES[vocabulary], start=1)
        ],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    federated = {"neg_category_ids": [2], "not_exhaustive_category_ids": []}
    documents = {
        "coco/annotations/instances_train2017_half_a.json": document("coco", [1]),
        "objects365/annotations/zhiyuan_objv2_train_half_b.json": document("objects365", [2]),
        "lvis/lvis_v1_projected_val.json": document("lvis_v1", [3, 4], **federated),
        "lvis/lvis_v0.5_val_12.json": document("lvis_v0_5", [4], **federated),
        "coco/annotations/instances_val2017.json": document("coco", [4, 3]),
    }
    for name, content in documents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(content))
    for number, part in {1: "train2017", 2: "train2017", 3: "val2017", 4: "val2017"}.items():
        (root / "coco" / part).mkdir(exist_ok=True)
        picture = Image.new("RGB", (SIDE, SIDE), (number, 0, 0))
        picture.save(root / "coco" / part / f"{number:012d}.jpg")
    settings = compose(["experiment=bench"]).clip_embeddings
    (root / "clip_embeddings").mkdir()
    for vocabulary, path in settings.files.items():
        np.save(root / path, np.ones((len(NAMES[vocabulary]), 6), np.float16))
    return root


def bench(folder: Path, *overrides: str) -> Config:
    config = in_store(
        folder.parent / "store", "experiment=bench", "roi.network.embedding=6", *overrides
    )
    return replace(config, data=replace(config.data, root=str(folder)))


def run(target: str, folder: Path, *overrides: str) -> dict[str, Done]:
    return built(bench(folder, f"stage={target}", *overrides))


def data_set(folder: Path, name: str, *overrides: str) -> ImageSet:
    config = bench(folder, *overrides)
    done = run("data", folder, *overrides)
    return image_set_at(done[f"data[{name}]"].folder, images_folder(config, name), name)


def test_every_set_is_indexed_with_its_vocabulary(folder: Path) -> None:
    done = run("data", folder)
    assert list(done) == [
        *("data[training/coco]", "data[training/objects365]"),
        *("data[lvis_v1]", "data[lvis_v0_5]", "data[coco_val]"),
    ]
    for name, vocabulary in {"training/objects365": "objects365", "lvis_v1": "lvis_v1"}.items():
        categories = read_vocabulary(done[f"data[{name}]"].folder)
        assert [category.name for category in categories] == NAMES[vocabulary]


@pytest.mark.parametrize("number", [1, 3])
def test_a_picture_that_breaks_off_is_found_by_stage_data(folder: Path, number: int) -> None:
    """Of a training set and of an evaluation set; the header is whole, the user's file is named."""
    (path,) = (folder / "coco").glob(f"*/{number:012d}.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-700])
    with Image.open(path) as picture:
        assert picture.size == (SIDE, SIDE)
    with pytest.raises(UserError) as caught:
        run("data", folder)
    assert str(caught.value).startswith(f"{path}: the file is truncated")


def test_an_image_has_one_digest_whichever_set_brings_it(folder: Path) -> None:
    """sha256sum of the file, in the order of the annotation file."""
    digests = {
        number: hashlib.sha256((folder / f"coco/val2017/{number:012d}.jpg").read_bytes()).digest()
        for number in (3, 4)
    }
    for name, numbers in {"lvis_v1": [3, 4], "lvis_v0_5": [4], "coco_val": [4, 3]}.items():
        rows = data_set(folder, name).digests
        assert [row.tobytes() for row in rows] == [digests[number] for number in numbers]


def test_a_changed_picture_is_another_data_set(folder: Path) -> None:
    """The index stays what it was; the images' content makes the artefact."""
    first = run("data", folder)
    picture = folder / "coco/val2017/000000000003.jpg"
    Image.new("RGB", (SIDE, SIDE), (200, 0, 0)).save(picture)
    second = run("data", folder)
    changed = {name for name in first if first[name].action.output != second[name].action.output}
    assert changed == {"data[lvis_v1]", "data[coco_val]"}


def test_a_picture_that_changes_after_stage_data_is_not_read(folder: Path) -> None:
    """Else what a network finds in it would be kept as the old image's."""
    data = data_set(folder, "lvis_v1")
    assert data.images.read(0).shape == (SIDE, SIDE, 3)
    Image.new("RGB", (SIDE, SIDE), (9, 9, 9)).save(folder / "coco/val2017/000000000003.jpg")
    with pytest.raises(UserError, match=r"000000000003\.jpg: has changed since stage data read it"):
        data.images.read(0)
    assert data.images.read(1).shape == (SIDE, SIDE, 3)


def test_a_stop_ends_the_reading_of_files_for_their_digests(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes minutes of 100,000 images; nothing is lost."""
    monkeypatch.setattr(interrupt, "_requested", threading.Event())

    def reading(*arguments: object) -> None:
        interrupt._ask(signal.SIGINT, None)
        pytest.fail("the reading has gone on")

    monkeypatch.setattr(engine, "preimage_of", reading)
    with pytest.raises(KeyboardInterrupt):
        run("data", folder)


def test_a_name_is_novel_unless_it_or_a_synonym_is_labelled(folder: Path) -> None:
    categories = data_set(folder, "lvis_v1").split.categories
    novel = novel_categories(categories, NAMES["coco"] + NAMES["objects365"])
    # couch has the synonym sofa, which coco labels
    assert novel == {1: False, 2: False, 3: True}


def test_the_place_of_the_data_changes_nothing(folder: Path) -> None:
    first = run("data", folder)
    moved = folder.rename(folder.parent / "moved")
    second = run("data", moved)
    assert [done.action for done in second.values()] == [done.action for done in first.values()]


def test_a_renamed_set_is_the_same_artefact(folder: Path) -> None:
    renamed = (
        "data.evaluation={other: {annotations: coco/annotations/instances_val2017.json, "
        "images: coco/val2017, vocabulary: coco, style: coco}}"
    )
    first, second = run("data", folder), run("data", folder, f"++{renamed}")
    assert second["data[other]"].how == "cached"
    assert second["data[other]"].action == first["data[coco_val]"].action


def test_embeddings_are_taken_with_their_names(folder: Path) -> None:
    done = run("clip_embeddings", folder)["clip_embeddings[lvis_v1]"]
    with np.load(done.folder / EMBEDDINGS) as arrays:
        assert arrays["names"].tolist() == NAMES["lvis_v1"]
        assert arrays["embeddings"].shape == (3, 6)


def test_rows_of_another_order_are_noted_before_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lists, "shipped_of_size", lambda _: Vocabulary.of("lamp, cat"))
    run("clip_embeddings", folder)
    assert "row 1 is 'Cat'; as published that is row 2 (2 rows differ)" in capsys.readouterr().err


def test_sets_of_one_vocabulary_must_have_its_names(folder: Path) -> None:
    config = bench(folder, "stage=data", "data.evaluation.lvis_v0_5.vocabulary=lvis_v1")
    data = {node: done.folder for node, done in engine.run(config).items()}
    with pytest.raises(UserError, match="lvis_v1 and lvis_v0_5 have different categories"):
        clip_embeddings.check(config, "lvis_v1", data)


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.ones((2, 6)), "3 categories"),
        (np.ones(3), "3 categories"),
        (np.full((3, 6), np.nan), "NaN"),
        (np.ones((3, 5)), r"has 5 dimensions, the network that names regions 6 \(roi\.network"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    folder: Path, array: np.ndarray, problem: str
) -> None:
    name = "coco_clip_a+cname_rn50_manyprompt.npy"
    np.save(folder / "clip_embeddings" / name, array)
    with pytest.raises(UserError, match=problem) as caught:
        run("clip_embeddings", folder)
    assert name in str(caught.value)


def test_an_array_that_is_none_is_refused(folder: Path) -> None:
    broken = folder / "clip_embeddings" / "coco_clip_a+cname_rn50_manyprompt.npy"
    broken.write_bytes(b"not an array")
    with pytest.raises(UserError, match="not a readable"):
        run("clip_embeddings", folder)


@pytest.mark.parametrize(
    "place", ["lvis/lvis_v1_projected_val.json", "coco/val2017/000000000003.jpg"]
)
def test_a_missing_file_is_named(folder: Path, place: str) -> None:
    (folder / place).unlink()
    with pytest.raises(UserError, match=Path(place).name):
        run("data", folder)


def test_a_limit_keeps_the_first_annotated_images(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    annotations = folder / "coco/annotations/instances_val2017.json"
    content = json.loads(annotations.read_text())
    content["images"].insert(0, content["images"][0] | {"id": 9})  # without annotations
    annotations.write_text(json.dumps(content))
    data = data_set(folder, "coco_val", "data.evaluation.coco_val.limit=1")
    assert data.split.image_ids.tolist() == [4]
    truth = json.loads(data.ground_truth.read_text())
    assert [record["image_id"] for record in truth["annotations"]] == [4]
    assert "  coco/annotations/instances_val2017.json: 1 image," in capfd.readouterr().err


@pytest.mark.parametrize(
    "change",
    [{"area": None}, {"bbox": [25, 15, -20, -10]}, {"bbox": [float("nan"), 5, 20, 10]}],
)
def test_a_fault_of_an_evaluation_file_names_the_file_before_anything_is_trained(
    folder: Path, change: dict[str, Any]
) -> None:
    annotations = folder / "coco/annotations/instances_val2017.json"
    content = json.loads(annotations.read_text())
    content["annotations"][1] |= change
    annotations.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        run("data", folder, "data.evaluation.coco_val.limit=2")
    assert str(caught.value).startswith(f"{annotations}: annotations[1] (id 3): ")


def test_what_evaluation_makes_of_a_file_is_told(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    annotations = folder / "coco/annotations/instances_val2017.json"
    content = json.loads(annotations.read_text())
    content["annotations"][0] |= {"id": 0, "bbox": [5, 5, 0, 10]}
    annotations.write_text(json.dumps(content))
    run("data", folder)
    messages = capfd.readouterr().err
    assert "skipped 1 × box thinner than 1 pixel, first annotations[0] (id 0)" in messages
    assert messages.count("note: 1 × annotation of id 0") == 1
    assert messages.count("note: 1 × degenerate box: COCO AP counts it as missed") == 1


def test_own_sets_are_read_before_the_toy_world_is_drawn() -> None:
    """They may be refused; drawing takes minutes."""
    extra = "{annotations: a.json, images: i, vocabulary: own, style: coco}"
    nodes = graph.needed("report", compose([f"+data.evaluation.extra={extra}"]))
    assert nodes[0].name == "extra"


def test_a_missing_root_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root"):
        built(bench(folder / "nowhere", "stage=data"))


def test_the_starting_weights_enter_the_key_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.pth"
    package = "unidet.pipelines.wiring.imagenet_package"
    monkeypatch.setattr(f"{package}.weights_file", lambda: weights)
    bench, toy = compose(["experiment=bench"]), compose([])
    assert graph.STAGES["rpn"].files(bench, "") == {"imagenet": weights}
    assert graph.STAGES["roi"].files(bench, "") == {"imagenet": weights}
    assert graph.STAGES["rpn"].files(toy, "") == {}


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unidet.pipelines.wiring.imagenet_package.find_spec", lambda name: None)
    with pytest.raises(UserError, match="make setup-bench"):
        graph.STAGES["rpn"].files(compose(["experiment=bench"]), "")
