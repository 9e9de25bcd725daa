"""NanoDet-Plus-m-416 with its COCO weights, read from ncnn: a photograph, and COCO's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jittor as jt
import networks
import numpy as np
import pytest
from splits import read_split

from unidet.config.compose import compose
from unidet.data.images import FolderImages
from unidet.data.loader import evaluation_batches
from unidet.evaluation.coco import coco_metrics
from unidet.evaluation.recall import recall_metrics
from unidet.formats.ground_truth import read_ground_truth
from unidet.models.layers import set_batch_norm_training
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.pipelines.wiring import image_batches
from unidet.pipelines.wiring.closed_set import detect_batch
from unidet.records import Batch, Detections, Split
from unidet.weights.layouts.registry import open_weights
from unidet.weights.load import load_into

TRANSFORM = image_batches.evaluation_transform(compose(["rpn=nanodet_plus_m_416"]).rpn.images)


@pytest.fixture(scope="module")
def net(reference: Path) -> NanoDetPlus:
    built = NanoDetPlus(networks.nanodet_plus(), classes=80, auxiliary=False)
    load_into(built, open_weights(reference / "bench/weights/nanodet_plus_m_416.bin").arrays)
    return built


@pytest.fixture(scope="module")
def annotations(reference: Path) -> Path:
    return reference / "bench/coco/annotations/instances_val2017.json"


@pytest.fixture(scope="module")
def split(annotations: Path, reference: Path) -> Split:
    return read_split(annotations, reference / "bench/coco/val2017", name="val")[0]


@pytest.fixture
def batches(split: Split, reference: Path) -> Callable[[list[int]], Iterator[Batch]]:
    images = FolderImages(reference / "bench/coco/val2017", split.file_names)
    return lambda rows: evaluation_batches(images, split, rows, TRANSFORM, 1)


def test_a_photograph_as_recorded(
    net: NanoDetPlus, split: Split, batches: Callable, recording: Callable
) -> None:
    golden = recording("real_416")
    row = int(np.flatnonzero(split.image_ids == golden["image_id"])[0])
    batch = next(batches([row]))
    first = golden["img#first65536"]
    np.testing.assert_allclose(batch.images_NCHW.ravel()[: len(first)], first, atol=1e-6)
    images = jt.array(batch.images_NCHW)
    set_batch_norm_training(net, False)
    with jt.no_grad():
        output = net.predict(images)
    # 5 times what PyTorch and the ncnn graph differ by
    np.testing.assert_allclose(output.dfl_logits.numpy(), golden["head_reg_logits"], atol=1.4e-4)
    np.testing.assert_allclose(output.class_logits.numpy(), golden["head_cls_logits"], atol=1.4e-4)
    detected = net.detect(images, batch.sizes_N2)[0]
    np.testing.assert_allclose(detected.boxes, golden["det0_boxes_scores"][:, :4], atol=2e-3)
    np.testing.assert_allclose(detected.scores, golden["det0_boxes_scores"][:, 4], atol=5e-6)
    np.testing.assert_array_equal(detected.labels, golden["det0_labels"])


@pytest.mark.slow
def test_coco_figures(net: NanoDetPlus, split: Split, batches: Callable, annotations: Path) -> None:
    """AP of the bench's recipe (no limit before COCO's own) and with 100 detections an image."""
    truth = read_ground_truth(annotations)
    categories = np.array([category.id for category in split.categories], np.int64)
    rows = list(range(len(split)))
    assert len(rows) == 121

    def metrics(limit: int | None) -> dict[str, float]:
        detect = partial(net.detect, max_detections=limit)
        by_row = dict(
            result for batch in batches(rows) for result in detect_batch(detect, batch, categories)
        )
        images = [by_row[row] for row in rows]
        counts = [len(columns["scores"]) for columns in images]
        names = ("category_ids", "boxes_xywh", "scores")
        detected = {name: np.concatenate([columns[name] for columns in images]) for name in names}
        return coco_metrics(truth, Detections(np.repeat(split.image_ids, counts), **detected))

    recipe, official = metrics(None), metrics(100)
    assert recipe["AP"] == pytest.approx(0.3859, abs=1e-3)
    assert recipe["AP50"] == pytest.approx(0.5479, abs=2e-3)
    assert [recipe[key] for key in ("AP75", "APs", "APm", "APl")] == pytest.approx(
        [0.4087, 0.116, 0.3936, 0.6428], abs=2e-3
    )
    assert official["AP"] == pytest.approx(0.3845, abs=1e-3)
    assert official["AP50"] == pytest.approx(0.5429, abs=2e-3)


@pytest.mark.slow
def test_proposal_figures(
    net: NanoDetPlus, split: Split, batches: Callable, annotations: Path
) -> None:
    """A prior's best class, 1000 best, NMS 0.7, 300 best."""
    ids, boxes = [], []
    for batch in batches(list(range(len(split)))):
        detected = net.propose(jt.array(batch.images_NCHW), batch.sizes_N2)[0]
        detected[:, :4] /= batch.scales_N4
        ids.append(np.full(len(detected), split.image_ids[batch.image_rows[0]]))
        boxes.append(detected)
    rows = np.concatenate(boxes).astype(np.float64)
    rows[:, 2:4] -= rows[:, :2]
    labels = np.zeros(len(rows), np.int64)
    proposals = Detections(np.concatenate(ids), labels, rows[:, :4], rows[:, 4])
    recall = recall_metrics(read_ground_truth(annotations), proposals)
    assert recall["AR@100"] == pytest.approx(0.486, abs=2e-3)
    assert recall["AR@300"] == pytest.approx(0.509, abs=2e-3)
    assert recall["R50@300"] == pytest.approx(0.808, abs=2e-3)
