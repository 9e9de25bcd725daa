"""A training step against the official code's tensors, with the official quirks.

Gradients are compared with the float64 recording (case A64): float32 itself is off by up to 1.7 %,
because LeakyReLU's kinks flip. Case A has four boxes, Adet the same from the 11th epoch on, C one
image without boxes, D none at all, E degenerate boxes.
"""

from __future__ import annotations

from collections.abc import Callable

import jittor as jt
import numpy as np
import pytest

from unidet.config.training import OptimizerConfig
from unidet.models.nanodet_plus.assigner import Assignment
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.models.nanodet_plus.predictions import Predictions
from unidet.ops.loss_term import loss_values
from unidet.training.optimizer import Optimizer
from unidet.weights.layouts.nanodet_plus import M

CASES = ("A", "Adet", "C", "D", "E")


@pytest.fixture(scope="module")
def golden(recording: Callable[[str], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return recording("train_320")


@pytest.fixture(scope="module")
def images() -> jt.Var:
    made = np.random.RandomState(0).standard_normal((2, 3, 320, 320))
    return jt.array(made.astype(np.float32))


@pytest.fixture(scope="module")
def net(network: Callable[..., NanoDetPlus]) -> NanoDetPlus:
    return network("m_416", compat="official")


@pytest.fixture(scope="module")
def outputs(net: NanoDetPlus, images: jt.Var) -> dict[bool, tuple[Predictions, Predictions]]:
    """Both heads' predictions, by whether the auxiliary parts are detached."""
    assignment = {}
    for detached in (False, True):
        assignment[detached] = net.predict_both(images, detached=detached)
    return assignment


def truth(golden: dict, case: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return tuple([golden[f"{case}/gt_{kind}{i}"] for i in (0, 1)] for kind in ("boxes", "labels"))


def official_loss(name: str) -> str:
    return name.replace("loss_aux_", "aux_loss_")


def closeness(ours: np.ndarray, recorded: np.ndarray) -> tuple[float, float]:
    """Norm of the difference relative to the recorded norm, and the cosine."""
    a, b = (np.asarray(x, np.float64).ravel() for x in (ours, recorded))
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b)), float(a @ b / norms)


def recorded_tensors(golden: dict, prefix: str) -> dict[str, np.ndarray]:
    """By official parameter name, whole or its first 8192 numbers."""
    return {
        key.removeprefix(prefix).removesuffix("#first8192"): value
        for key, value in golden.items()
        if key.startswith(prefix) and not key.endswith(("#norm", "#shape"))
    }


def test_both_heads(golden: dict, outputs: dict) -> None:
    """5 times the 2.4e-4 that float32 is off on logits up to 19."""
    main, auxiliary = outputs[False]
    assert np.abs(auxiliary.logits_NPL.numpy() - golden["A/pred_aux"]).max() < 1.2e-3
    first = golden["A/pred_main#first65536"]
    assert np.abs(main.logits_NPL.numpy().ravel()[: len(first)] - first).max() < 1.2e-3


def assert_assigned(assignment: Assignment, golden: dict, case: str, image: int) -> None:
    name = f"{case}/assign{image}_"
    rows = np.zeros(2125, np.int64)
    rows[assignment.positives] = assignment.matched + 1
    np.testing.assert_array_equal(rows, golden[f"{name}gt_inds"])
    np.testing.assert_array_equal(assignment.positives, golden[f"{name}pos"])
    np.testing.assert_allclose(assignment.soft_labels, golden[f"{name}pos_soft_labels"], atol=5e-5)
    if len(golden[f"{case}/gt_boxes{image}"]):
        np.testing.assert_array_equal(assignment.valid, golden[f"{name}valid_priors"])
        np.testing.assert_array_equal(assignment.counts, golden[f"{name}dynamic_k"])
        np.testing.assert_allclose(assignment.iou, golden[f"{name}iou"], atol=5e-5)
        # the logarithm of an IoU near 0 magnifies its rounding
        sure = golden[f"{name}iou"] > 1e-3
        np.testing.assert_allclose(assignment.cost[sure], golden[f"{name}cost"][sure], atol=5e-3)


@pytest.mark.parametrize("case", CASES)
def test_assignment_and_losses(case: str, golden: dict, net: NanoDetPlus, outputs: dict) -> None:
    main, auxiliary = outputs[case == "Adet"]
    boxes, labels = truth(golden, case)
    for image, assignment in enumerate(net.assignments(auxiliary, boxes, labels)):
        assert_assigned(assignment, golden, case, image)
    for name, value in loss_values(net.losses_of(main, auxiliary, boxes, labels)).items():
        recorded = float(golden[f"{case}/loss/{official_loss(name)}"])
        assert value.item() == pytest.approx(recorded, rel=1e-5), name


@pytest.mark.parametrize(("case", "expectation"), [("A", "A64"), ("Adet", "Adet")])
def test_gradients(
    case: str, expectation: str, golden: dict, net: NanoDetPlus, outputs: dict
) -> None:
    main, auxiliary = outputs[case == "Adet"]
    total = sum(loss_values(net.losses_of(main, auxiliary, *truth(golden, case))).values())
    parameters = dict(net.named_parameters())
    names = [str(name) for name in golden["param_names"]]
    values = jt.grad(total, [parameters[M.our_names[name]] for name in names])
    gradients = {name: value.numpy() for name, value in zip(names, values, strict=True)}
    learned = [name not in set(golden["zero_gradient_params"]) for name in names]
    norms = np.array([np.linalg.norm(gradients[name].astype(np.float64)) for name in names])
    recorded = golden[f"{expectation}/grad_norms_all"]
    np.testing.assert_allclose(norms[learned], recorded[learned], rtol=0.02)
    assert norms[np.logical_not(learned)].max() < 1e-3 * np.median(norms)
    for name, expected in recorded_tensors(golden, f"{expectation}/grad/").items():
        error, cosine = closeness(gradients[name].ravel()[: expected.size], expected)
        assert error <= 0.02, name
        assert cosine >= 0.999, name


def test_running_statistics_and_one_adamw_step(
    golden: dict, network: Callable[..., NanoDetPlus], images: jt.Var
) -> None:
    """Adam's first step is the learning rate times the gradient's sign.

    So it is compared where the gradient is well above float32's noise, and its effect on the
    losses within the 2 % that the parameters make whose gradient is pure noise.
    """
    net = network("m_416", compat="official")
    settings = OptimizerConfig(kind="adamw", lr=1e-3, weight_decay=0.05, clip_norm=35.0)
    boxes, labels = truth(golden, "A")
    losses = loss_values(net.losses(images, boxes, labels))
    parameters = dict(net.named_parameters())
    for name, expected in recorded_tensors(golden, "A/bn/").items():
        ours = parameters[M.our_names[name]].numpy()
        np.testing.assert_allclose(ours, expected, atol=2e-5, err_msg=name)
    optimizer = Optimizer(net, settings)
    optimizer.add(sum(losses.values()))
    optimizer.step(1.0)
    gradients = recorded_tensors(golden, "A64/grad/")
    for name, expected in recorded_tensors(golden, "A/step1/").items():
        ours = parameters[M.our_names[name]].numpy().ravel()[: expected.size]
        gradient = np.abs(gradients[name].ravel())
        sure = gradient > 0.05 * np.sqrt((gradient**2).mean())
        np.testing.assert_allclose(ours[sure], expected.ravel()[sure], atol=1e-6, err_msg=name)
    for name, value in loss_values(net.losses(images, boxes, labels)).items():
        recorded = float(golden[f"A/after_step1_loss/{official_loss(name)}"])
        assert value.item() == pytest.approx(recorded, rel=0.02)
