"""RT-DETR in inference against tensors recorded from the official code.

Queries come out in score order, where neighbours differ by as little as 5e-7, so they are aligned
by memory cell. Bounds are five times the recording's own distance from a float64 run.
"""

from __future__ import annotations

from collections.abc import Callable

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.models.rtdetr.decoder import anchor_logits
from unidet.models.rtdetr.network import RTDETR, best_pairs
from unidet.models.set_prediction import absolute_boxes
from unidet.ops.blocked_maps import as_array

Recording = dict[str, np.ndarray]
LOGITS = {"r18vd": 5e-4, "r50vd": 5.5e-3}
BOXES = {"r18vd": 2e-5, "r50vd": 5e-4}
VARIANTS = ["r18vd", pytest.param("r50vd", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(variant: str, load_recorded_weights: Callable) -> RTDETR:
    built = RTDETR(networks.rtdetr(variant, compat="official"), classes=80)
    load_recorded_weights(built, f"rtdetr_{variant}")
    return built


@pytest.fixture(scope="module")
def recording(variant: str, transformer_recording: Callable) -> Recording:
    return transformer_recording(f"rtdetr_{variant}_eval")


@pytest.fixture(scope="module")
def traced(network: RTDETR, recording: Recording) -> dict[str, np.ndarray]:
    """Our tensors under the recording's names, queries in the recorded order."""
    network.set_training(False)
    tensors: dict[str, np.ndarray] = {}
    decoder = network.decoder
    with jt.no_grad():
        feats = network.backbone(jt.array(recording["img_u8"].astype(np.float32) / 255))
        maps = network.encoder(feats)
        memory, sizes = decoder.memory(maps)
        selection = decoder.select(memory, sizes)
        last = decoder.decode(memory, sizes, selection)[-1]
    cells = selection.cells[0].tolist()
    recorded = recording["eval/decoder/topk_ind"][0].tolist()
    assert set(cells) == set(recorded)
    order = [cells.index(cell) for cell in recorded]
    for name, feature in zip(("c3", "c4", "c5"), feats, strict=True):
        tensors[f"backbone/{name}"] = as_array(feature)
    for name, feature in zip(("s8", "s16", "s32"), maps, strict=True):
        tensors[f"encoder/{name}"] = as_array(feature)
    tensors["decoder/memory"] = memory.numpy()
    tensors["decoder/enc_max_score"] = selection.scores
    tensors["decoder/target0"] = selection.content.numpy()[:, order]
    tensors["decoder/ref_unact0"] = selection.references.numpy()[:, order]
    tensors["decoder/enc_topk_logits"] = selection.prediction.logits.numpy()[:, order]
    tensors["decoder/enc_topk_bboxes"] = selection.prediction.boxes.numpy()[:, order]
    tensors["pred_logits"] = last.logits.numpy()[:, order]
    tensors["pred_boxes"] = last.boxes.numpy()[:, order]
    return tensors


def test_every_tensor(
    traced: dict[str, np.ndarray], recording: Recording, variant: str, differs: Callable
) -> None:
    bounds = {"backbone": 1e-5, "encoder": 5e-5, "decoder": 5e-5}
    bounds |= {"pred_logits": LOGITS[variant], "pred_boxes": BOXES[variant]}
    for name, ours in traced.items():
        assert differs(ours, recording, f"eval/{name}") <= bounds[name.partition("/")[0]], name


def test_anchors(recording: Recording) -> None:
    for tag, sizes in (
        ("eval", [(32, 40), (16, 20), (8, 10)]),
        ("wide", [(12, 104), (6, 52), (3, 26)]),
    ):
        logits, valid = anchor_logits(sizes)
        np.testing.assert_array_equal(valid, recording[f"{tag}/decoder/valid_mask"][0, :, 0])
        recorded = recording[f"{tag}/decoder/anchors_logit"][0]
        np.testing.assert_allclose(logits, recorded, atol=2e-6)
    logits, valid = anchor_logits([(80, 80), (40, 40), (20, 20)])
    np.testing.assert_array_equal(valid, recording["shape640/valid_mask"][0, :, 0])
    for first, last in ((0, 255), (6400, 6655), (8000, 8399)):
        rows = recording[f"shape640/anchors_logit#rows{first}..{last}"]
        np.testing.assert_allclose(logits[first : last + 1], rows, atol=2e-6)


def test_invalid_anchors_may_be_chosen(network: RTDETR, recording: Recording, variant: str) -> None:
    """36 of 1,638 cells of a wide image are invalid and score alike; r18vd chooses them all, and
    their reference is the whole image."""
    network.set_training(False)
    decoder = network.decoder
    with jt.no_grad():
        images = jt.array(recording["wide/img_u8"].astype(np.float32) / 255)
        memory, sizes = decoder.memory(network.encoder(network.backbone(images)))
        selection = decoder.select(memory, sizes)
    cells, recorded = selection.cells[0], recording["wide/decoder/topk_ind"][0]
    assert set(cells) == set(recorded)
    _, valid = anchor_logits(sizes)
    invalid = ~valid[cells]
    assert invalid.sum() == {"r18vd": 36, "r50vd": 0}[variant]
    assert (selection.prediction.boxes.numpy()[0, invalid] == 1).all()
    order = np.argsort(cells), np.argsort(recorded)
    for name, ours in (
        ("enc_topk_logits", selection.prediction.logits),
        ("enc_topk_bboxes", selection.prediction.boxes),
    ):
        theirs = recording[f"wide/decoder/{name}"][0, order[1]]
        np.testing.assert_allclose(ours.numpy()[0, order[0]], theirs, atol=5e-5)


def test_detections_from_recorded_predictions(recording: Recording) -> None:
    """rtdetr_postprocessor.py: the 300 best of 300 x 80 scores; orig_size_wh is (width, height)."""
    sizes = recording["eval/post/orig_size_wh"][:, ::-1]
    boxes = absolute_boxes(jt.array(recording["eval/pred_boxes"]), sizes)[0]
    scores = 1 / (1 + np.exp(-recording["eval/pred_logits"][0]))
    detected = best_pairs(boxes, scores, 300)
    np.testing.assert_allclose(detected.scores, recording["eval/post/scores"], atol=1e-6)
    np.testing.assert_array_equal(detected.labels, recording["eval/post/labels"])
    np.testing.assert_allclose(detected.boxes, recording["eval/post/boxes_xyxy"], atol=1e-3)
