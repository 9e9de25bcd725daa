"""A network with official settings on given tensors, every tensor on the way."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.models import MODELS
from unidet.store.disk import check_target
from unidet.weights.layouts.layout import Weights

_NETWORKS = {"nanodet_plus_m_320": "nanodet_plus_m_416"}  # the same at another image size


def trace_files(
    model: str, weights: str, inputs: str, out: str, train: bool, grads: Sequence[str]
) -> None:
    """Writes the tensors of one inference, or with `train` of one training step, to `out`.

    Args:
        model: one of `MODELS`.
        weights: ours, or an official checkpoint in any format and layout that `convert` reads.
        inputs: `.npz`; what it must hold depends on the model (docs/parity.md).
        out: `.npz`, written in one step.
        grads: parameters, by official or by our name, whose gradients are written as `grad/NAME`.

    Raises:
        UserError: an unknown model or name, weights of another architecture, inputs that are
            missing or misshapen.
    """
    if model not in MODELS:
        raise UserError(f"trace: no model {model!r}; there are {', '.join(MODELS)}")
    if grads and not train:
        raise UserError("trace: gradients exist in training only; add --train")
    check_target(Path(out), inputs=(weights, inputs))
    arrays = Inputs.read(inputs)
    from unidet.weights.layouts.registry import open_weights

    loaded = open_weights(weights, network=_network(model))
    from unidet.backend.runtime import bring_up

    bring_up()
    module = import_module(MODELS[model])
    if train and not hasattr(module, "train"):
        raise UserError(f"trace: {model} cannot be trained; leave out --train")
    tensors = trace(module, loaded, arrays, train, grads)
    from unidet.weights.write import write_npz

    write_npz(out, tensors)
    print(f"{out}: {len(tensors)} tensors")


def _network(model: str) -> str:
    """The network whose checkpoint `model` takes: for one side of CLIP both."""
    side = model.rpartition("_")[2]
    if side in ("text", "image"):
        return model.removesuffix(f"_{side}")
    return _NETWORKS.get(model, model)


def trace(
    module: Any, weights: Weights, inputs: Inputs, train: bool, grads: Sequence[str]
) -> dict[str, np.ndarray]:
    """The tensors of a module of `unidet.pipelines.traces`, by name."""
    network = module.build(weights)
    if not train:
        return dict(module.forward(network, inputs))
    parameters = {name: _parameter(network, weights, name) for name in grads}
    tensors, totals = module.train(network, inputs)
    for case, total in (totals if isinstance(totals, dict) else {"": totals}).items():
        for name, value in _gradients(total, parameters).items():
            official = weights.layout.expected.get(name.removeprefix("grad/"))
            # Jittor has no scalars: a number is stored as one element
            tensors[case + name] = value.reshape(()) if official == () else value
    return dict(tensors)


def _parameter(network: Any, weights: Weights, name: str) -> Any:
    """The variable that `name`, official or ours, stands for."""
    variables = dict(network.named_parameters())
    our_names = weights.layout.our_names
    ours = our_names.get(name, name)
    if ours not in variables:
        names = list(dict.fromkeys([*our_names, *variables]))
        near = difflib.get_close_matches(name, names, n=3)
        raise UserError(
            f"trace: --grads {name}: no such parameter"
            + (f"; did you mean {' or '.join(near)}?" if near else "")
        )
    return variables[ours]


def _gradients(total: Any, parameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """`grad/NAME` of every parameter; one zero for a frozen one, as in the recordings."""
    import jittor as jt

    learning = {name: var for name, var in parameters.items() if not var.is_stop_grad()}
    gradients = {f"grad/{name}": np.zeros(1) for name in parameters}
    values = jt.grad(total, list(learning.values())) if learning else []
    return gradients | {
        f"grad/{name}": value.numpy() for name, value in zip(learning, values, strict=True)
    }
