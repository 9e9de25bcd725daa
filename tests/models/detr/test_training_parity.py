"""One training step of DETR against the official code's; see the same of RT-DETR for the bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.config.training import OptimizerConfig
from unidet.models.detr.criterion import (
    cardinality_error,
    class_cost,
    class_error,
    layer_losses,
)
from unidet.models.detr.network import DETR
from unidet.models.matcher import Targets, match
from unidet.models.set_prediction import Prediction
from unidet.ops.loss_term import loss_values
from unidet.training.optimizer import Optimizer
from unidet.weights.layouts.detr import R50

Recording = dict[str, np.ndarray]
FLOORS = json.loads((Path(__file__).parents[1] / "noise_floors.json").read_text())["detr_r50"]
LAYERS = ("aux0", "aux1", "aux2", "aux3", "aux4", "last")
ZERO_VALUES = "transformer.decoder.layers.0.self_attn.in_proj_weight"
"""Layer 0 attends to zeros: all but rounding of this gradient cancels (its norm is 1.6e-5)."""


@pytest.fixture(scope="module")
def recording(transformer_recording: Callable) -> Recording:
    return transformer_recording("detr_r50_train")


def _targets(recording: Recording, tag: str) -> Targets:
    return Targets(
        [recording[f"{tag}/gt/labels{image}"] for image in (0, 1)],
        [recording[f"{tag}/gt/boxes{image}"] for image in (0, 1)],
    )


@pytest.fixture(scope="module")
def predictions(detr: DETR, recorded_images: Callable) -> list[Prediction]:
    """Of every layer; the three recorded steps share images and weights."""
    images, sizes = recorded_images("pad")
    return detr.predictions(jt.array(images), sizes)


def _recorded_names(recording: Recording, prefix: str) -> list[str]:
    keys = [key.removeprefix(f"{prefix}/") for key in recording if key.startswith(f"{prefix}/")]
    return list(dict.fromkeys(key.partition("#")[0] for key in keys))


def _first_values(recording: Recording, name: str) -> np.ndarray:
    (key,) = (k for k in recording if k == name or k.startswith(f"{name}#first"))
    return recording[key].ravel()


@pytest.mark.parametrize("tag", ["t32", "t30", "t00"])
def test_matches_and_losses(
    tag: str, detr: DETR, predictions: list[Prediction], recording: Recording
) -> None:
    targets = _targets(recording, tag)
    layers = detr.matches(predictions, targets)
    for layer, prediction, matches in zip(LAYERS, predictions, layers, strict=True):
        for image in (0, 1):
            for side, ours in (("src", matches.queries), ("tgt", matches.truths)):
                recorded = recording[f"{tag}/match/{layer}/img{image}_{side}"]
                np.testing.assert_array_equal(ours[matches.images == image], recorded)
        suffix = "" if layer == "last" else f"_{layer[-1]}"
        cardinality = recording[f"{tag}/loss_unscaled/cardinality_error{suffix}"]
        assert cardinality_error(prediction, targets) == pytest.approx(float(cardinality))
    error = class_error(predictions[-1], layers[-1], targets)
    assert error == pytest.approx(float(recording[f"{tag}/loss_unscaled/class_error"]))
    bound = max(1e-5, 5 * max(FLOORS["losses"].values()))
    for name, term in detr.losses(predictions, layers, targets).items():
        expected = float(recording[f"{tag}/loss_unscaled/{name}"])
        assert term.value.item() / term.weight == pytest.approx(expected, rel=bound, abs=1e-7), name


@pytest.mark.parametrize("tag", ["t32", "t30", "t00"])
def test_losses_of_recorded_predictions(
    tag: str, recording: Recording, transformer_recording: Callable
) -> None:
    """Free of the forward pass's noise. Without dropout the step's predictions are those of
    inference, which are recorded in full."""
    targets = _targets(recording, tag)
    recorded = transformer_recording("detr_r50_eval")
    for layer in LAYERS:
        name = "pad" if layer == "last" else f"pad/{layer}"
        logits, boxes = recorded[f"{name}/pred_logits"], recorded[f"{name}/pred_boxes"]
        matches = match(class_cost, logits, boxes, targets)
        prediction = Prediction(jt.array(logits), jt.array(boxes))
        terms = layer_losses(prediction, matches, targets)
        suffix = "" if layer == "last" else f"_{layer[-1]}"
        for kind, term in terms.items():
            expected = float(recording[f"{tag}/loss_unscaled/{kind}{suffix}"])
            assert term.value.item() / term.weight == pytest.approx(expected, rel=1e-5, abs=1e-7), (
                kind + suffix
            )


@pytest.mark.slow
def test_gradients_and_update(
    load_recorded_weights: Callable, recorded_images: Callable, recording: Recording
) -> None:
    detr = DETR(networks.detr(dropout=0.0, compat="official"), classes=91)
    load_recorded_weights(detr, "detr_r50")
    images, sizes = recorded_images("pad")
    predictions = detr.predictions(jt.array(images), sizes)
    targets = _targets(recording, "t32")
    losses = loss_values(detr.losses(predictions, detr.matches(predictions, targets), targets))
    total = sum(losses.values())
    assert total.item() == pytest.approx(float(recording["t32/loss_total_weighted"]), rel=1e-5)
    variables = dict(detr.named_parameters())
    names = _recorded_names(recording, "t32/grad")
    assert set(names) == set(FLOORS["gradients"])
    gradients = jt.grad(total, [variables[R50.our_names[name]] for name in names])
    for name, gradient in zip(names, gradients, strict=True):
        expected = _first_values(recording, f"t32/grad/{name}")
        norm = float(recording.get(f"t32/grad/{name}#norm", np.linalg.norm(expected)))
        error = np.linalg.norm(gradient.numpy().ravel()[: expected.size] - expected)
        assert error <= max(1e-3, 5 * FLOORS["gradients"][name]) * norm, name
    settings = OptimizerConfig(
        kind="adamw", lr=1e-4, weight_decay=1e-4, groups={"backbone": 0.1}, clip_norm=0.1
    )
    optimizer = Optimizer(detr, settings)
    _assert_groups(optimizer, recording["t32/groups"])
    optimizer.add(total)
    optimizer.step(1.0)
    for name in _recorded_names(recording, "t32/after"):
        if name == ZERO_VALUES:
            continue
        expected = _first_values(recording, f"t32/after/{name}")
        ours = variables[R50.our_names[name]].numpy().ravel()[: expected.size]
        rate = 1e-5 if name.startswith("backbone") else 1e-4
        wrong = np.abs(ours - expected) > 0.02 * rate + 2e-7
        assert wrong.mean() <= 0.05, name


def _assert_groups(optimizer: Optimizer, recorded: np.ndarray) -> None:
    """Rows of rate, decay, tensors, numbers."""
    ours: dict[float, list[int]] = {}
    for group in optimizer._inner.param_groups:
        assert group["weight_decay"] == 1e-4
        row = ours.setdefault(round(1e-4 * group["factor"], 9), [0, 0])
        row[0] += 1
        row[1] += group["params"][0].numel()
    assert ours == {round(rate, 9): [int(t), int(n)] for rate, _, t, n in recorded}
