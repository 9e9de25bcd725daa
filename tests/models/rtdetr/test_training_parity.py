"""One training step of RT-DETR against the official code's.

The recording is itself a float32 run. `noise_floors.json` holds how far its losses and gradients
(as a share of their norm) are from those of the same official code in float64: a box's error grows
threefold to sixfold from layer to layer, and a sample of deformable attention that crosses a cell's
border, or a box side that crosses its target, turns a gradient. Bounds are five times that floor,
and 1e-5 (losses) or 1e-3 (gradients) where the floor is lower. What no such noise reaches (losses
of recorded predictions, encoder heads) is held to the tight ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.config.training import OptimizerConfig
from unidet.models.matcher import Matches, Targets, match
from unidet.models.rtdetr.criterion import class_cost, layer_losses, match_queries
from unidet.models.rtdetr.network import RTDETR, TrainingOutput
from unidet.models.rtdetr.network import VARIANTS as VARIANT_SETTINGS
from unidet.models.set_prediction import Prediction
from unidet.ops.loss_term import loss_values
from unidet.training.ema import WeightEMA
from unidet.training.optimizer import Optimizer
from unidet.weights.layouts.registry import layout_named

Recording = dict[str, np.ndarray]
VARIANTS = ["r18vd", pytest.param("r50vd", marks=pytest.mark.slow)]
FLOORS = json.loads((Path(__file__).parents[1] / "noise_floors.json").read_text())
SELDOM = {"r18vd": 0.0, "r50vd": 0.04}
"""Added to the floors of gradients that pass through boxes: a turned side moves them this much."""
NO_BOXES = ("decoder.enc_", "decoder.dec_score_head.0")
NO_DECAY = {
    "r18vd": (r"^backbone\..*(bn\d|downsample\.1)\.", r"^(encoder|decoder)\..*(norm|bias)"),
    "r50vd": (r"^(encoder|decoder)\..*(norm.*weight|bias)",),
}
"""The official groups, under our names of the backbone's norms."""


@dataclass
class Step:
    """Gradients, and the network after the update that follows."""

    network: RTDETR
    gradients: dict[str, np.ndarray]
    ema: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def recording(variant: str, transformer_recording: Callable) -> Recording:
    return transformer_recording(f"rtdetr_{variant}_train")


@pytest.fixture(scope="module")
def forward(
    variant: str,
    recording: Recording,
    load_recorded_weights: Callable,
    recorded_targets: Callable,
    recorded_noise: Callable,
) -> Callable[[str], tuple]:
    """Network, output, targets, losses and the EMA that knows the weights before the step."""

    def run(step: str) -> tuple:
        network = RTDETR(networks.rtdetr(variant, compat="official"), classes=80)
        load_recorded_weights(network, f"rtdetr_{variant}")
        network.set_training(True)
        ema = WeightEMA(network, 0.9999, 2000)
        targets = recorded_targets(recording, step)
        noise = recorded_noise(recording, step) if targets.count else None
        images = jt.array(recording["img_u8"].astype(np.float32) / 255)
        output = network.training_output(images, targets, noise)
        losses = network.losses(output, network.matches(output, targets), targets)
        return network, output, targets, loss_values(losses), ema

    return run


@pytest.fixture(scope="module")
def step(forward: Callable, variant: str, recording: Recording) -> Step:
    network, _, _, losses, ema = forward("t32")
    total = sum(losses.values())
    parameters = dict(network.named_parameters())
    names = _recorded_names(recording, "t32/grad")
    gradients = jt.grad(total, [parameters[_ours(variant, name)] for name in names])
    by_name = dict(zip(names, (gradient.numpy() for gradient in gradients), strict=True))
    settings = OptimizerConfig(
        kind="adamw",
        lr=1e-4,
        weight_decay=1e-4,
        groups={"backbone": 0.1},
        no_decay=NO_DECAY[variant],
        clip_norm=0.1,
    )
    optimizer = Optimizer(network, settings)
    optimizer.add(total)
    optimizer.step(1.0)
    ema.update(0)
    return Step(network, by_name, ema.state())


def _ours(variant: str, name: str) -> str:
    return layout_named(f"rtdetr_{variant}").our_names[name]


def _recorded_names(recording: Recording, prefix: str) -> list[str]:
    keys = [key.removeprefix(f"{prefix}/") for key in recording if key.startswith(f"{prefix}/")]
    return list(dict.fromkeys(key.partition("#")[0] for key in keys))


def _first_values(recording: Recording, name: str) -> np.ndarray:
    (key,) = (k for k in recording if k == name or k.startswith(f"{name}#first"))
    return recording[key].ravel()


def _layers(output: TrainingOutput) -> dict[str, Prediction]:
    *inner, last = output.layers
    auxiliary = [*inner, output.selection.prediction]
    return {"last": last} | {
        f"aux{index}": prediction for index, prediction in enumerate(auxiliary)
    }


def _assert_same_matches(
    output: TrainingOutput, targets: Targets, recording: Recording, tag: str
) -> None:
    """Queries are told apart by their memory cell."""
    recorded_cells = recording[f"{tag}/topk_ind"]
    for image in (0, 1):
        assert set(output.selection.cells[image]) == set(recorded_cells[image])
    for layer, prediction in _layers(output).items():
        matches = match_queries(prediction, targets)
        for image in (0, 1):
            of_image = matches.images == image
            cells = output.selection.cells[image][matches.queries[of_image]]
            source, target = (
                recording[f"{tag}/match/{layer}/img{image}_{side}"] for side in ("src", "tgt")
            )
            matched = dict(zip(cells, matches.truths[of_image], strict=True))
            assert matched == dict(zip(recorded_cells[image][source], target, strict=True))


def _assert_losses(ours: dict[str, float], recording: Recording, tag: str, variant: str) -> None:
    """Bounds: five times the float32 recording's own error, or 2e-5.

    Winograd's convolutions differ by 1e-6 of a map's largest value, which moves the first layers'
    losses of r50vd by up to 1.3e-5.
    """
    floors = FLOORS[f"rtdetr_{variant}"]["losses"]
    names = _recorded_names(recording, f"{tag}/loss")
    assert set(ours) == set(names)
    encoder = f"_aux_{len([name for name in floors if name.startswith('loss_vfl_dn')])}"
    for name in names:
        shallow = name.endswith(("_aux_0", "_dn_0", encoder))
        bound = max(2e-5, 5 * (floors[name] if shallow else max(floors.values())))
        expected = float(recording[f"{tag}/loss/{name}"])
        assert ours[name] == pytest.approx(expected, rel=bound, abs=1e-7), name


@pytest.mark.parametrize("tag", ["t32", "t30", "t00"])
def test_matches_and_losses(
    tag: str, forward: Callable, recording: Recording, variant: str
) -> None:
    """Of two images with boxes, of one with and one without, of two without."""
    _, output, targets, losses, _ = forward(tag)
    assert (output.denoising is None) == (tag == "t00")
    _assert_same_matches(output, targets, recording, tag)
    values = {name: float(value.item()) for name, value in losses.items()}
    if output.denoising is None:
        denoising = {name for name in values if "_dn_" in name}
        assert {values.pop(name) for name in denoising} == {0.0}
    _assert_losses(values, recording, tag, variant)
    total = sum(values.values())
    assert total == pytest.approx(float(recording[f"{tag}/loss_total"]), rel=2e-4)


def test_losses_of_recorded_predictions(
    recording: Recording, recorded_targets: Callable, variant: str
) -> None:
    """Free of the forward pass's noise. Logits are recorded in full for the last layer only."""
    targets = recorded_targets(recording, "t32")
    layers = VARIANT_SETTINGS[variant].layers
    names = {"": "", **{f"_aux_{index}": f"aux{index}/" for index in range(layers)}}
    names |= {f"_dn_{index}": f"dn{index}/" for index in range(layers)}
    for suffix, tensors in names.items():
        boxes = recording[f"t32/{tensors}pred_boxes"]
        logits = recording.get(f"t32/{tensors}pred_logits", np.zeros((*boxes.shape[:2], 80)))
        layer = {"": "last"}.get(suffix, "dn" if "dn" in suffix else tensors.rstrip("/"))
        matches = Matches.of(
            [
                tuple(recording[f"t32/match/{layer}/img{image}_{side}"] for side in ("src", "tgt"))
                for image in (0, 1)
            ]
        )
        if not suffix:
            matched = match(class_cost, logits, boxes, targets)
            np.testing.assert_array_equal(matched.queries, matches.queries)
            np.testing.assert_array_equal(matched.truths, matches.truths)
        prediction = Prediction(jt.array(logits.astype(np.float32)), jt.array(boxes))
        count = 5.0 * (33 if layer == "dn" else 1)
        values = loss_values(layer_losses(prediction, matches, targets, count))
        for kind in ("vfl", "bbox", "giou")[bool(suffix) :]:
            expected = float(recording[f"t32/loss/loss_{kind}{suffix}"])
            assert values[f"loss_{kind}"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_gradients(step: Step, recording: Recording, variant: str) -> None:
    floors = FLOORS[f"rtdetr_{variant}"]["gradients"]
    assert set(step.gradients) == set(floors)
    for name, gradient in step.gradients.items():
        expected = _first_values(recording, f"t32/grad/{name}")
        norm = float(recording.get(f"t32/grad/{name}#norm", np.linalg.norm(expected)))
        floor = floors[name] + (0 if name.startswith(NO_BOXES) else SELDOM[variant])
        error = np.linalg.norm(gradient.ravel()[: expected.size] - expected)
        assert error <= max(1e-3, 5 * floor) * norm, name


@pytest.mark.slow
def test_update(step: Step, recording: Recording, variant: str) -> None:
    """AdamW with the official groups, gradients clipped; its first step is nearly a sign, so noise
    in a gradient of about 1e-8 shows. Statistics of the batch norms move by a tenth."""
    variables = dict(step.network.named_parameters())
    names = _recorded_names(recording, "t32/after")
    assert names
    for name in names:
        if name.endswith("num_batches_tracked"):
            continue
        expected = _first_values(recording, f"t32/after/{name}")
        ours = variables[_ours(variant, name)].numpy().ravel()[: expected.size]
        if "running" in name:
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
            continue
        rate = 1e-5 if name.startswith("backbone") else 1e-4
        wrong = np.abs(ours - expected) > 0.02 * rate + 2e-7
        allowed = {"r18vd": 0.06, "r50vd": 0.35}[variant]
        assert wrong.mean() <= allowed, name


@pytest.mark.slow
def test_ema(step: Step, recording: Recording, variant: str) -> None:
    """After the first update the decay is 0.9999 (1 - exp(-1 / 2000)) = 0.0005; where a gradient
    is next to zero a parameter may have stepped the other way: 7 % of r50vd's sampling offsets with
    plain convolutions, 12 % with blocked ones."""
    names = _recorded_names(recording, "t32/ema1")
    assert names
    for name in names:
        expected = recording[f"t32/ema1/{name}"]
        ours = step.ema[_ours(variant, name)]
        wrong = ~np.isclose(ours, expected, rtol=1e-5, atol=1e-5)
        assert wrong.mean() <= (0 if "running" in name else 0.15), name


@pytest.mark.parametrize("variant_name", ["r18vd", "r50vd"])
def test_groups_of_the_optimizer(variant_name: str, transformer_recording: Callable) -> None:
    """Rows of rate, decay, tensors, numbers; groups with the same rate and decay are one here."""
    recorded = transformer_recording(f"rtdetr_{variant_name}_train")["t32/groups"]
    network = RTDETR(networks.rtdetr(variant_name), classes=80)
    settings = OptimizerConfig(
        kind="adamw",
        lr=1e-4,
        weight_decay=1e-4,
        groups={"backbone": 0.1},
        no_decay=NO_DECAY[variant_name],
    )
    optimizer = Optimizer(network, settings)
    ours: dict[tuple[float, float], list[int]] = {}
    for group in optimizer._inner.param_groups:
        key = (round(1e-4 * group["factor"], 9), group["weight_decay"])
        row = ours.setdefault(key, [0, 0])
        row[0] += 1
        row[1] += group["params"][0].numel()
    expected: dict[tuple[float, float], list[int]] = {}
    for rate, decay, tensors, numbers in recorded:
        row = expected.setdefault((round(rate, 9), decay), [0, 0])
        row[0] += int(tensors)
        row[1] += int(numbers)
    assert ours == expected


def test_multi_scale_resizes_to_the_nearest_pixel(transformer_recording: Callable) -> None:
    recorded = transformer_recording("rtdetr_r18vd_train")["multiscale/nearest_16x20_to_24x24"]
    images = jt.array(np.arange(3 * 16 * 20, dtype=np.float32).reshape(1, 3, 16, 20))
    ours = jt.nn.interpolate(images, size=(24, 24), mode="nearest")
    np.testing.assert_array_equal(ours.numpy(), recorded)
