from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unidet.data.index import load_split
from unidet.data.toy.crops import load_crops, make_crops
from unidet.data.toy.vocabulary import (
    combination_index,
    compatible,
    label_space,
    name_of,
)
from unidet.data.toy.world import make_split, scene_at
from unidet.records import Split

SCENES = 30
VALIDATION = 70


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    for name in "train_a", "train_b", "val":
        (root / name).mkdir()
        count = VALIDATION if name == "val" else SCENES
        make_split(name, root / name, scenes=count, seed=5)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def truth(world: Path, kind: str = "") -> dict[str, list[dict]]:
    return json.loads((world / "val" / f"ground_truth{kind}.json").read_text())


def objects_with_split(folder: Path) -> tuple[dict[str, np.ndarray], Split]:
    with np.load(folder / "objects.npz") as columns:
        return dict(columns), load_split(folder / "index.npz", folder.name)


def test_two_processes_write_the_same_bytes_as_one(world: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    make_split(
        "val", tmp_path, scenes=VALIDATION, seed=5, processes=2,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert contents(tmp_path) == contents(world / "val")
    assert steps == [(50, 70), (70, 70)]


def test_a_scene_depends_on_seed_split_and_index_alone(world: Path) -> None:
    images = np.load(world / "val" / "images.npy", mmap_mode="r")
    assert images.shape == (VALIDATION, 192, 192, 3)
    assert images.dtype == np.uint8
    assert (scene_at("val", 5, 17).image == images[17]).all()
    for other in (scene_at("val", 6, 17), scene_at("dev", 5, 17), scene_at("val", 5, 18)):
        assert (other.image != images[17]).any()


@pytest.mark.parametrize("space", ["a", "b"])
def test_novel_things_are_seen_in_training_but_never_by_their_name(world: Path, space: str) -> None:
    objects, split = objects_with_split(world / f"train_{space}")
    val = label_space("val")
    novel_names = {name for name, new in zip(val.names, val.is_novel, strict=True) if new}
    assert novel_names.isdisjoint(category.name for category in split.categories)
    is_novel = compatible(val.attributes[val.is_novel], objects["attributes"]).any(axis=0)
    assert 0 < is_novel.mean() < 0.1


@pytest.mark.parametrize("name", ["train_a", "train_b", "val"])
def test_every_box_has_the_one_label_that_its_object_fits(world: Path, name: str) -> None:
    objects, split = objects_with_split(world / name)
    space = label_space(name.removeprefix("train_"))
    labels = space.label_of[combination_index(objects["attributes"])]
    expected = [
        (image, *box, label)
        for image, box, label in zip(
            objects["box_image"], objects["boxes_xyxy"], labels, strict=True
        )
        if label >= 0
    ]
    boxed = [
        (image, *box, label)
        for image, box, label in zip(split.box_image, split.boxes_xyxy, split.labels, strict=True)
    ]
    if name == "val":  # some names are boxed in part
        assert len(expected) * 0.98 < len(boxed) <= len(expected)
        assert set(boxed) <= set(expected)
    else:
        assert boxed == expected
    assert (np.diff(split.box_image) >= 0).all()
    counts = np.bincount(split.labels, minlength=len(split.categories))
    assert [category.instance_count for category in split.categories] == counts.tolist()
    assert tuple(category.name for category in split.categories) == space.names


def test_the_split_says_what_the_lvis_json_says(world: Path) -> None:
    split, table = load_split(world / "val" / "index.npz", "val"), truth(world)
    assert split.image_ids.tolist() == [image["id"] for image in table["images"]]
    pairs = [
        (split.image_ids[image], split.categories[label].id)
        for image, label in zip(split.box_image, split.labels, strict=True)
    ]
    assert pairs == [(a["image_id"], a["category_id"]) for a in table["annotations"]]
    boxes = np.array([annotation["bbox"] for annotation in table["annotations"]])
    boxes[:, 2:] += boxes[:, :2]
    assert split.boxes_xyxy == pytest.approx(boxes, abs=1e-4)
    for category, record in zip(split.categories, table["categories"], strict=True):
        for key in "id", "name", "frequency", "image_count", "instance_count":
            assert getattr(category, key) == record[key]


def test_federated_knowledge_is_true(world: Path) -> None:
    """Negatives are absent, unlisted images are unknown, and only partial names miss boxes."""
    table, full = truth(world), truth(world, "_exhaustive")
    whole: dict[tuple[int, int], int] = {}
    for annotation in full["annotations"]:
        pair = annotation["image_id"], annotation["category_id"]
        whole[pair] = whole.get(pair, 0) + 1
    boxed: dict[tuple[int, int], int] = {}
    for annotation in table["annotations"]:
        pair = annotation["image_id"], annotation["category_id"]
        boxed[pair] = boxed.get(pair, 0) + 1
    assert boxed.keys() == whole.keys()
    partial = {
        (image["id"], category)
        for image in table["images"]
        for category in image["not_exhaustive_category_ids"]
    }
    assert 0.02 < len(partial) / len(whole) < 0.09
    assert {pair for pair in whole if boxed[pair] != whole[pair]} <= partial <= whole.keys()
    for image, complete in zip(table["images"], full["images"], strict=True):
        negatives = image["neg_category_ids"]
        assert len(set(negatives)) == 12
        assert all((image["id"], category) not in whole for category in negatives)
        assert complete["not_exhaustive_category_ids"] == []
        present = {category for number, category in whole if number == image["id"]}
        assert present | set(complete["neg_category_ids"]) == set(range(1, 73))


def test_frequencies_follow_the_image_counts(world: Path) -> None:
    table = truth(world)
    for category in table["categories"]:
        images = {a["image_id"] for a in table["annotations"] if a["category_id"] == category["id"]}
        assert category["image_count"] == len(images)
        low, high = {"r": (0, 14), "c": (15, 50), "f": (51, VALIDATION)}[category["frequency"]]
        assert low <= len(images) <= high
    assert {category["frequency"] for category in table["categories"]} >= {"r", "c"}


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")
def test_the_lvis_package_and_pycocotools_read_it(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Boxes given back as detections score 1 with both."""
    pytest.importorskip("pycocotools")
    lvis = _lvis_package(monkeypatch)
    path = world / "val" / "ground_truth.json"
    gold = [
        {key: annotation[key] for key in ("image_id", "category_id", "bbox")} | {"score": 1.0}
        for annotation in truth(world, "_exhaustive")["annotations"]
    ]
    evaluation = lvis.LVISEval(str(path), gold, iou_type="bbox")
    evaluation.run()
    assert evaluation.get_results()["AP"] == pytest.approx(1, abs=1e-9)

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    full = COCO(str(world / "val" / "ground_truth_exhaustive.json"))
    coco = COCOeval(full, full.loadRes(gold), "bbox")
    coco.evaluate()
    coco.accumulate()
    coco.summarize()
    assert coco.stats[0] == pytest.approx(1, abs=1e-9)
    mask = full.annToMask(full.dataset["annotations"][0])
    assert mask.sum() == pytest.approx(full.dataset["annotations"][0]["area"], rel=0.1)
    capsys.readouterr()


def _lvis_package(monkeypatch: pytest.MonkeyPatch):
    """The package imports cv2 for drawing only, and uses a name that numpy has dropped."""
    import sys
    import types

    if "cv2" not in sys.modules:
        monkeypatch.setitem(sys.modules, "cv2", types.ModuleType("cv2"))
    lvis = pytest.importorskip("lvis")
    monkeypatch.setattr(np, "float", float, raising=False)
    return lvis


def test_crops_are_the_same_from_two_processes_and_show_every_object(tmp_path: Path) -> None:
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        made = make_crops(
            "clip_test", tmp_path / str(processes), scenes=51, seed=5, processes=processes
        )
        assert made.pixels.shape == (len(made.attributes), 64, 64, 3)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    crops = load_crops(tmp_path / "1")
    first = scene_at("clip_test", 5, 0)
    for item, attributes, size in zip(
        first.objects, crops.attributes, crops.box_sizes, strict=False
    ):
        assert name_of(item.attributes) == name_of(attributes)
        assert size == pytest.approx(max(item.box[2:] - item.box[:2]), abs=1e-3)
    total = sum(len(scene_at("clip_test", 5, index).objects) for index in range(51))
    assert len(crops) == total
    # No crop is left as the zeros of the empty file.
    assert (np.asarray(crops.pixels).reshape(total, -1).max(axis=1) > 0).all()
