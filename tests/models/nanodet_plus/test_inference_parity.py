"""Inference against the official code's tensors: at most 5 times float32's own error on each.

That error is known for the logits, 1.2e-5 on values up to 15 (section 13 of the digest), and
taken in proportion for the maps before them; for scores a quarter of it, sigmoid's greatest slope.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jittor as jt
import numpy as np
import pytest

from unidet.models.layers import set_batch_norm_training
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.records import Detected

LOGITS = 1.2e-5
NOISE = LOGITS / 15
CASES = [("eval_416", "m_416"), ("eval_320", "m_416"), ("eval_1_5x_320", "m_1_5x_416")]


def tensors(network: NanoDetPlus, images_NCHW: np.ndarray) -> dict[str, np.ndarray]:
    """Everything recorded that a forward pass gives."""
    set_batch_norm_training(network, False)
    with jt.no_grad():
        stem = network.backbone.stem(jt.array(images_NCHW))
        maps = network.backbone(jt.array(images_NCHW))
        levels = network.fpn(maps)
        output = network.predict(jt.array(images_NCHW))
        named = {
            "stem_conv1": stem,
            "stem_maxpool": network.backbone.pooled(stem),
            "head_cls_logits": output.class_logits,
            "head_reg_logits": output.dfl_logits,
            "dist_in_strides": output.distances(),
            "boxes_unclamped": output.boxes(),
            "scores": jt.sigmoid(output.class_logits),
        }
        named |= {f"backbone_stage{stage}": x for stage, x in enumerate(maps, start=2)}
        named |= {f"fpn{level}": x for level, x in enumerate(levels)}
        return {name: var.numpy() for name, var in named.items()} | {
            "center_priors": output.priors_P4
        }


def error(ours: np.ndarray, recorded: dict[str, np.ndarray], name: str) -> float:
    """Largest difference, relative to the largest recorded value; shapes and norms must agree."""
    if name in recorded:
        assert ours.shape == recorded[name].shape
        return float(np.abs(ours - recorded[name]).max() / np.abs(recorded[name]).max())
    assert ours.shape == tuple(recorded[f"{name}#shape"])
    assert np.linalg.norm(ours.astype(np.float64)) == pytest.approx(
        float(recorded[f"{name}#norm"]), rel=1e-6
    )
    first = recorded[f"{name}#first65536"]
    return float(np.abs(ours.ravel()[: len(first)] - first).max() / np.abs(first).max())


def assert_same_set(detected: Detected, boxes_scores: np.ndarray, labels: np.ndarray) -> None:
    """Equal detections one to one; those of (nearly) equal score in any order."""
    assert len(detected.labels) == len(labels)
    assert (np.diff(detected.scores) <= 0).all()
    limits = np.array([2e-3] * 4 + [2e-5])
    ours = np.concatenate([detected.boxes, detected.scores[:, None]], axis=1)
    for label in np.unique(labels):
        mine, theirs = ours[detected.labels == label], boxes_scores[labels == label]
        distances = (np.abs(mine[:, None] - theirs) / limits).max(axis=2)
        nearest = distances.argmin(axis=0)
        assert sorted(nearest) == list(range(len(mine)))
        assert distances.min(axis=0).max() < 1


@pytest.mark.parametrize(("name", "model"), CASES)
def test_every_tensor_and_detection(
    name: str,
    model: str,
    network: Callable[..., NanoDetPlus],
    recording: Callable[[str], dict[str, np.ndarray]],
) -> None:
    golden, net, side = recording(name), network(model), int(name.rsplit("_", 1)[1])
    images = np.random.RandomState(0).standard_normal((1, 3, side, side)).astype(np.float32)
    assert error(images, golden, "img") == 0
    ours = tensors(net, images)
    errors = {key: error(value, golden, key) for key, value in ours.items()}
    assert errors.pop("center_priors") == 0
    assert errors.pop("scores") * ours["scores"].max() < 5 * LOGITS / 4
    assert max(errors.values()) < 5 * NOISE, errors
    sizes = np.array([[side, side]])
    settings: dict[str, dict] = {"det0": {}, "det_all": {"max_detections": None}}
    if "detsplit_labels" in golden:
        settings["detsplit"] = {"score_threshold": float(golden["detsplit_score_thr"])}
    for key, limits in settings.items():
        detected = net.detect(jt.array(images), sizes, **limits)[0]
        assert_same_set(detected, golden[f"{key}_boxes_scores"], golden[f"{key}_labels"])


@pytest.mark.parametrize(("model", "key"), [("m_416", "m_416"), ("m_1_5x_416", "m-1.5x_416")])
def test_counts(model: str, key: str, network: Callable[..., NanoDetPlus], reference: Path) -> None:
    recorded = json.loads((reference / "reference/detectors/nanodet_plus_counts.json").read_text())
    counts, built = recorded[f"nanodet-plus-{key}"], network(model)
    everything = dict(built.named_parameters())
    learned = {name for name in everything if ".running_" not in name}
    kept = {name for name in everything if not name.startswith("aux_")}

    def total(names: object) -> int:
        return sum(everything[name].numel() for name in names)  # type: ignore[attr-defined]

    assert total(learned) == counts["params"]
    assert total(kept & learned) == counts["params_without_aux"]
    assert total(everything) == counts["params_plus_bn_stats"]
    assert total(kept) == counts["params_plus_bn_stats_without_aux"]
    assert len(learned) == counts["param_tensors"]
    assert len(kept & learned) == counts["param_tensors_without_aux"]
    parts = {part: [n for n in learned if n.startswith(f"{part}.")] for part in counts["parts"]}
    assert {part: total(names) for part, names in parts.items()} == counts["parts"]
    assert len(everything) + counts["num_batches_tracked"] + 1 == counts["entries"]
