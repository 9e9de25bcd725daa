"""Closed-set detectors on COCO: official weights in a study, and whose classes count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from batches import make_batch
from PIL import Image
from stage_pages import departures
from studies import built

from unidet.backend.runtime import bring_up
from unidet.cli import compose
from unidet.errors import UserError
from unidet.pipelines.wiring.closed_set import NO_CATEGORY, detect_batch
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.pipelines.wiring.image_sets import image_set_at
from unidet.pipelines.wiring.study_sets import images_folder
from unidet.records import Detected
from unidet.weights.layouts.registry import layout_named
from unidet.weights.write import write_torch

WIDTH, HEIGHT = 128, 96
GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = np.array([number for number in range(1, 91) if number not in GAPS])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images in COCO's layout, with COCO's 80 category ids."""
    root = tmp_path_factory.mktemp("data")
    document = {
        "images": [
            {"id": i, "file_name": f"{i:012d}.jpg", "width": WIDTH, "height": HEIGHT}
            for i in (1, 2)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 90, "bbox": [5, 5, 20, 10], "area": 200}
            for i in (1, 2)
        ],
        "categories": [{"id": int(i), "name": f"category {i}"} for i in COCO_IDS],
    }
    (root / "coco/annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (root / f"coco/{split}2017").mkdir()
        for number in (1, 2):
            pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            picture = Image.fromarray(pixels)
            picture.save(root / f"coco/{split}2017" / f"{number:012d}.jpg")
        path = root / f"coco/annotations/instances_{split}2017.json"
        path.write_text(json.dumps(document))
    (root / "weights").mkdir()
    return root


@pytest.fixture(scope="module")
def write_official(recorded_weight: Callable, folder: Path) -> Callable[..., Path]:
    """An official checkpoint in the data folder, its weights made from names."""
    bring_up("cpu")

    def write(layout: str, name: str, classes: int) -> Path:
        shapes = layout_named(layout).expected.items()
        lengths = {
            name: tuple(classes if x is None else x for x in shape) for name, shape in shapes
        }
        lengths |= {"query_embed.weight": (100, 256)} if layout == "detr_r50" else {}
        if layout != "detr_r50":
            embedded = "decoder.denoising_class_embed.weight"
            lengths[embedded] = (classes + 1, 256)
        values = {name: recorded_weight(name, shape) for name, shape in lengths.items()}
        arrays = {name: value for name, value in values.items() if value is not None}
        write_torch(folder / "weights" / name, arrays)
        return folder / "weights" / name

    return write


def run(folder: Path, *overrides: str) -> list[dict[str, Any]]:
    """The detections that the stage leaves, of images of their own size; its artefacts are what
    docs/stages/ says."""
    all_done = built(compose([*study(folder), *overrides]))
    for node, made in all_done.items():
        assert departures(node.partition("[")[0], node, made.folder) == []
    done = all_done["coco_eval[coco]"].folder
    metrics = json.loads((done / "metrics.json").read_text())
    assert 0 <= metrics["AP"] <= 1
    return json.loads((done / "detections.json").read_text())


def study(folder: Path) -> list[str]:
    return [
        *("stage=coco_eval", "experiment=overfit", f"data.root={folder}", "runtime.device=cpu"),
        f"store.root={folder / 'store'}",
    ]


def expected(network: Any, folder: Path, rpn: list[str]) -> list[Detected]:
    """What `network` finds in the first image, straight from its pixels."""
    from unidet.data.loader import evaluation_batches
    from unidet.training.inference import as_images

    config = compose([*study(folder), *rpn])
    artefact = built(compose([*study(folder), "stage=data"]))["data[coco]"].folder
    data = image_set_at(artefact, images_folder(config, "coco"), "coco")
    transform = evaluation_transform(config.rpn.images)
    (batch,) = evaluation_batches(data.images, data.split, [0], transform, 1)
    return network.detect(as_images(batch), batch.sizes_N2)


@pytest.mark.slow
def test_detr_as_released(folder: Path, write_official: Callable) -> None:
    """91 outputs, one for every number up to the largest id: a label is its category id, and what
    is seen in the eleven numbers that are no category is no detection."""
    from unidet.models.detr.network import DETR
    from unidet.weights.layouts.registry import open_weights
    from unidet.weights.load import load_into

    path = write_official("detr_r50", "detr-r50-e632da11.pth", 92)
    rpn = ["rpn=detr_r50_coco", "rpn.images.test_short_side=96"]
    detections = run(folder, *rpn)
    network = DETR(networks.detr(), classes=91)
    load_into(network, open_weights(path).arrays)
    (detected,) = expected(network, folder, rpn)
    kept = np.isin(detected.labels, COCO_IDS)
    assert kept.sum() > 0
    first = [detection for detection in detections if detection["image_id"] == 1]
    assert [detection["category_id"] for detection in first] == detected.labels[kept].tolist()
    np.testing.assert_allclose(
        [detection["score"] for detection in first], detected.scores[kept], rtol=1e-5
    )


@pytest.mark.slow
def test_rtdetr_as_released(folder: Path, write_official: Callable) -> None:
    """80 outputs in the order of COCO's ids."""
    from unidet.models.rtdetr.network import RTDETR
    from unidet.weights.layouts.registry import open_weights
    from unidet.weights.load import load_into

    path = write_official("rtdetr_r50vd", "rtdetr_r50vd_6x_coco_from_paddle.pth", 80)
    rpn = ["rpn=rtdetr_r50vd_coco", "rpn.images.test_side=160"]
    detections = run(folder, *rpn)
    network = RTDETR(networks.rtdetr("r50vd"), classes=80)
    load_into(network, open_weights(path).arrays)
    (detected,) = expected(network, folder, rpn)
    first = [detection for detection in detections if detection["image_id"] == 1]
    assert [detection["category_id"] for detection in first] == COCO_IDS[detected.labels].tolist()


@pytest.mark.slow
def test_another_number_of_classes(folder: Path, write_official: Callable) -> None:
    write_official("detr_r50", "detr-r50-e632da11.pth", 92)
    with pytest.raises(UserError) as raised:
        run(folder, "rpn=detr_r50_coco", "rpn.classes=dataset")
    complaint = str(raised.value)
    assert "\n" not in complaint
    assert "class_embed.weight (92, 256), not (81, 256)" in complaint
    assert "rpn.classes" in complaint


def test_a_class_that_stands_for_nothing_is_no_detection() -> None:
    class Network:
        def detect(self, images: Any, sizes_N2: np.ndarray) -> list[Detected]:
            boxes = np.tile(np.array([[2, 2, 6, 10]], np.float32), (3, 1))
            return [Detected(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.array([1, 2, 0]))]

    bring_up("cpu")
    batch = make_batch((8, 8), [[]], scale=2, rows=[1])
    ids = np.array([7, 9, NO_CATEGORY])
    ((row, columns),) = detect_batch(Network().detect, batch, ids)
    assert row == 1
    assert columns["category_ids"].tolist() == [9, 7]
    np.testing.assert_allclose(columns["scores"], [0.9, 0.7])
    np.testing.assert_allclose(columns["boxes_xywh"], [[1, 1, 2, 4]] * 2)
