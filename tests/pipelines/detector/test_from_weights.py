"""Models of checkpoints alone: official layouts are recognized, and settings follow from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from studies import built

from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pipelines.detector.from_weights import CLASS_ROWS, PAGES, _config
from unidet.pipelines.detector.model import load
from unidet.pipelines.detector.options import Options
from unidet.pipelines.wiring.image_sets import image_set_at
from unidet.vocabularies.vocabulary import COCO_IDS, shipped
from unidet.weights.layouts.layout import Shape
from unidet.weights.layouts.registry import layout_named, open_weights, write_ours
from unidet.weights.write import write_torch

PHOTO = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
UNLIKE_CLASSES = {"decoder.denoising_class_embed.weight": 1, "query_embed.weight": 8}
"""Rows that an array has more than there are classes: no class; DETR's 100 queries for 92."""
SMALL = [
    f"{part}.images.test_{side}={pixels}"
    for part in ("rpn", "roi")
    for side, pixels in (("short_side", 64), ("long_side", 96))
]


def official(layout: str, path: Path, classes: int = 80, **more: np.ndarray) -> Path:
    """A checkpoint in an official layout: small random weights, norms that change nothing."""
    rng = np.random.default_rng(0)

    def array(name: str, shape: Shape) -> np.ndarray:
        rows = classes + UNLIKE_CLASSES.get(name, 0)
        sizes = [rows if size is None else size for size in shape]
        if name.endswith("num_batches_tracked"):
            return np.zeros(sizes, np.int64)
        if "running_var" in name or "norm" in name or ("bn" in name and "weight" in name):
            return np.ones(sizes, np.float32)
        return (0.02 * rng.standard_normal(sizes)).astype(np.float32)

    arrays = {name: array(name, shape) for name, shape in layout_named(layout).expected.items()}
    write_torch(path, arrays | more)
    return path


def text_columns(vectors_CD: np.ndarray) -> np.ndarray:
    """As UniDetector keeps them: (D, C + 1), the last column the background's."""
    return np.concatenate([vectors_CD.T, np.zeros((vectors_CD.shape[1], 1))], axis=1).astype("f4")


@pytest.mark.parametrize("layout", PAGES)
def test_every_layout_has_its_page(layout: str) -> None:
    """The page's network is the layout's."""
    group, _, page = PAGES[layout].partition("=")
    config = _config([PAGES[layout]], [])
    assert getattr(config, group).training is None
    network = layout_named(layout).network
    assert page == network or (network, page) in (
        ("unidetector_r50_c4", "clip_r50_c4"),
        ("unidetector_r50_c4_end2end", "clip_r50_c4"),
    )
    if group == "rpn" and page not in ("cln_r50_fpn", "rpn_r50_fpn"):
        name, _ = CLASS_ROWS[config.rpn.network.kind]
        shape = layout_named(layout).expected[official_name(layout, name)]
        assert shape[0] is None


def official_name(layout: str, ours: str) -> str:
    names: Mapping[str, str] = layout_named(layout).our_names
    return next(name for name, mine in names.items() if mine == ours)


def test_coco_s_ids(reference: Path) -> None:
    truth = json.loads((reference / "bench/coco/annotations/instances_val2017.json").read_text())
    assert [category["id"] for category in truth["categories"]] == COCO_IDS


def test_nanodet_plus_alone(tmp_path: Path) -> None:
    file = official("nanodet_plus_m", tmp_path / "m.pth", classes=80 + 32)
    model = load(file)
    assert model.names == shipped("coco").names
    detections = model.detect(PHOTO, threshold=0)
    assert detections.names == model.names
    assert detections.size_hw == (60, 80)
    few = model.detect(PHOTO, "dog, cat", threshold=0)
    assert few.names == ("dog", "cat")
    assert model.proposals(PHOTO).shape[1] == 5


@pytest.mark.parametrize("names", [("person", "book", "bottle"), ("person", "book")])
def test_a_network_of_a_study_has_the_names_that_it_carries(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    weights = open_weights(official("nanodet_plus_m", tmp_path / "m.pth", classes=3 + 32))
    file = tmp_path / "m.safetensors"
    write_ours(file, replace(weights, classes=names))
    model = load(file)
    if len(names) < 3:  # of another network
        assert model.names is None
        return
    assert model.names == names
    assert model.detect(PHOTO, "bottle, person", threshold=0).names == ("bottle", "person")
    with pytest.raises(UserError, match="'cat'"):
        model.detect(PHOTO, "book, bottle, cat")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "classes"), [("rtdetr_r18vd", 80), ("detr_r50", 92)], ids=["rtdetr", "detr"]
)
def test_other_closed_sets_alone(layout: str, classes: int, tmp_path: Path) -> None:
    file = official(layout, tmp_path / "m.pth", classes)
    model = load(weights=file, overrides=SMALL if layout == "detr_r50" else ())
    assert model.names == shipped("coco").names
    detections = model.detect(PHOTO, threshold=0, multi_label=True)
    assert len(detections) > 10
    assert detections.labels.max() < 80


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """UniDetector's two checkpoints, the second with COCO's embeddings; and CLIP's."""
    folder = tmp_path_factory.mktemp("official")
    texts = np.random.default_rng(2).standard_normal((80, 1024))
    key = "roi_head.bbox_head.zs_weights"
    return {
        "proposals_weights": official("unidetector_stage1", folder / "S1.pth"),
        "weights": official("unidetector_stage2", folder / "S2.pth", **{key: text_columns(texts)}),
        "text_encoder": official("openai_clip_rn50_text", folder / "RN50.pt"),
    }


@pytest.mark.slow
def test_two_stages_alone(two_stages: dict[str, Path], tmp_path: Path) -> None:
    files = {name: two_stages[name] for name in ("proposals_weights", "weights")}
    model = load(**files, overrides=SMALL)  # type: ignore[arg-type]
    assert model.names == shipped("coco").names  # the checkpoint's own
    detections = model.detect(PHOTO, threshold=0, multi_label=True)
    assert len(detections) == 100
    assert model.detect(PHOTO, "zebra, person", threshold=0).names == ("zebra", "person")
    with pytest.raises(UserError, match=r"'unicorn' is none of the 80 names.*text_encoder=FILE"):
        model.detect(PHOTO, ["unicorn"])
    np.save(tmp_path / "three.npy", np.eye(3, 1024))
    ready = load(**files, embeddings=tmp_path / "three.npy", overrides=SMALL)  # type: ignore[arg-type]
    assert ready.names is None
    assert ready.detect(PHOTO, "a, b, c", threshold=0).names == ("a", "b", "c")


@pytest.mark.slow
def test_a_text_encoder_takes_any_name(two_stages: dict[str, Path]) -> None:
    prompts = "clip_embeddings.templates=['a photo of a {}.']"
    model = load(**two_stages, overrides=[*SMALL, prompts])  # type: ignore[arg-type]
    detections = model.detect(PHOTO, "unicorn, zebra", threshold=0, multi_label=True)
    assert detections.names == ("unicorn", "zebra")
    assert len(detections) > 0
    assert model.embed_text(["unicorn"]).shape == model.embed(PHOTO).shape == (1, 1024)


def test_what_is_missing_or_wrong_is_one_line(tmp_path: Path) -> None:
    nanodet = official("nanodet_plus_m", tmp_path / "m.pth", classes=80 + 32)
    with pytest.raises(UserError, match="weights: there is no file"):
        load(weights=tmp_path / "nowhere.pth")
    with pytest.raises(UserError, match=r"^proposals_weights: says which part of a detector"):
        load(proposals_weights=nanodet)
    with pytest.raises(UserError, match="text_encoder: a closed-set detector"):
        load(weights=nanodet, text_encoder=nanodet)
    with pytest.raises(UserError, match=r"weights: .* it must be a second stage"):
        load(weights=nanodet, proposals_weights=nanodet)
    clip = official("torchvision_resnet18", tmp_path / "resnet.pth", 1000)
    with pytest.raises(UserError, match=r"ResNet-18, .*; what detects is unidetector_stage1"):
        load(weights=clip)
    write_torch(tmp_path / "x.pth", {"x": np.zeros(1, np.float32)})
    with pytest.raises(UserError, match="for a network of your own: rpn=PAGE, roi=PAGE"):
        load(weights=tmp_path / "x.pth")
    with pytest.raises(UserError, match="its settings: rpn=nanodet_plus_m_1_5x_416"):
        load(weights=nanodet, overrides=["rpn=nanodet_plus_m_1_5x_416"])


def test_the_bench_s_checkpoint_finds_what_is_on_a_photograph(reference: Path) -> None:
    folder = reference / "bench"
    model = load(folder / "weights/nanodet_plus_m_416.param")
    photos = sorted((folder / "coco/val2017").iterdir())[:4]
    detections = model.detect(photos)
    assert sum(map(len, detections)) > 4
    assert all((detections.scores >= 0.3).all() for detections in detections)


@pytest.mark.slow
def test_detections_are_those_of_coco_eval(reference: Path, tmp_path: Path) -> None:
    """The bench's NanoDet-Plus on its 121 photographs: a study's evaluation, and the file alone."""
    root = reference / "bench"
    study = ("stage=coco_eval", "experiment=bench_nanodet", f"data.root='{root}'")
    done = built(compose([*study, f"store.root={tmp_path}"]))
    evaluated = json.loads((done["coco_eval[coco_val]"].folder / "detections.json").read_text())
    images = image_set_at(done["data[coco_val]"].folder, root / "coco/val2017", "coco_val")
    model = load(root / "weights/nanodet_plus_m_416.param")
    places = {category.id: row for row, category in enumerate(images.split.categories)}
    everything = Options(threshold=0, multi_label=True)
    pixels = (images.images.read(row) for row in range(len(images.split)))
    for image_id, detections in zip(
        images.split.image_ids, model.stream(pixels, None, everything), strict=True
    ):
        rows = [row for row in evaluated if row["image_id"] == image_id]
        assert detections.labels.tolist() == [places[row["category_id"]] for row in rows]
        boxes = xywh_to_xyxy(np.array([row["bbox"] for row in rows]).reshape(-1, 4))
        np.testing.assert_allclose(detections.boxes_xyxy, boxes, atol=0.02)
        np.testing.assert_allclose(detections.scores, [row["score"] for row in rows], atol=1e-4)
