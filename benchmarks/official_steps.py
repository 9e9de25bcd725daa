"""Training steps of RT-DETR, DETR and NanoDet-Plus and of their official code, run alternately.

    python benchmarks/official_steps.py CHECKOUTS [--rounds N] [MODEL …]

CHECKOUTS is a folder with `RT-DETR` (lyuwenyu at 068dfde6), `detr` (facebookresearch at 29901c51)
and `nanodet` (RangiLyu at be9b4a9). Their networks, matchers and losses run in `.venv-peers`,
loaded by tests/models/curves/record.py and tests/models/nanodet_plus/record_curve.py. Weights,
batches and optimizers are those of these two recordings, but images are larger. The losses of the
first step must be equal.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from side_by_side import figures, in_turns

TESTS = Path(__file__).parents[1] / "tests"
PEERS = Path(".venv-peers/bin/python")
SIZES = {"rtdetr_r18vd": (640, (640, 640)), "detr_r50": (800, (1088, 960))}
"""Height of the two images and their widths."""
NANODET = "nanodet_plus_m_416"
SIDE, IMAGES = 416, 8
WARM_UP, CLOSE = 1, 1e-3
Step = Callable[[], float]
"""Does one training step; returns the sum of the losses before the update."""


def transformer_inputs(model: str) -> Any:
    import inputs

    inputs.HEIGHT, inputs.WIDTHS = SIZES[model]
    return inputs


def nanodet_inputs() -> Any:
    import curve_inputs

    curve_inputs.SIDE, curve_inputs.IMAGES = SIDE, IMAGES
    return curve_inputs


def ours(model: str) -> Step:
    from unidet.backend.runtime import bring_up

    bring_up("cpu")
    from dataclasses import replace

    import jittor as jt

    from unidet.cli import compose
    from unidet.ops.loss_term import loss_values, total
    from unidet.training.optimizer import Optimizer

    settings = compose([f"rpn={model}"]).rpn.training.optimizer
    if model == NANODET:
        import test_curve

        given = nanodet_inputs()
        network, rate = test_curve.build(given), given.RATE
        images, boxes, labels = given.batch(0)

        def losses() -> dict[str, jt.Var]:
            return loss_values(network.losses(jt.array(images), boxes, labels))

    else:
        import test_curves

        given = transformer_inputs(model)
        network, rate = test_curves.build(model, given), given.RATES[model]
        batch = test_curves.batch(0, model, given)

        def losses() -> dict[str, jt.Var]:
            return loss_values(network.loss(batch, given.noise(0)))

    optimizer = Optimizer(network, replace(settings, lr=rate))

    def step() -> float:
        loss = total(losses())
        optimizer.add(loss)
        optimizer.step(1.0)
        jt.sync_all(True)
        return float(loss.item())

    return step


def official(model: str, checkouts: Path) -> Step:
    import os

    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    if model == NANODET:
        import record_curve

        given = nanodet_inputs()
        network, clip = record_curve.build(checkouts / "nanodet"), given.CLIP
        groups, rate, decay = network.parameters(), given.RATE, given.DECAY
        images, boxes, labels = given.batch(0)
        meta = {"img": torch.from_numpy(images), "gt_bboxes": boxes, "gt_labels": labels}

        def losses() -> torch.Tensor:
            return network.forward_train({**meta, "gt_bboxes_ignore": None})[1]

    else:
        import record

        given = transformer_inputs(model)
        network, groups, of_step = _official_transformer(record, model, checkouts)
        clip, rate, decay = record.CLIP, given.RATES[model], record.DECAY

        def losses() -> torch.Tensor:
            return sum(of_step(0).values())

    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=decay)

    def step() -> float:
        loss = losses()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        return float(loss.detach())

    return step


def _official_transformer(record: Any, model: str, checkouts: Path) -> tuple[Any, Any, Any]:
    """Network, its parameter groups, and a function from the number of a step to its losses."""
    from functools import partial

    checkout = checkouts / "RT-DETR" / "rtdetr_pytorch"
    record.rtdetr.stub_packages(checkout)  # also torchvision, which DETR imports
    sys.path.insert(0, str(checkout))
    if model == "detr_r50":
        network, criterion = record.detr_network(checkouts / "detr")
        groups, step = record.detr_groups, record.detr_step
    else:
        network, criterion = record.rtdetr.network("r18vd"), record.rtdetr.criterion()
        groups, step = record.rtdetr_groups, record.rtdetr_step
    record.set_weights(network)
    return network, groups(network), partial(step, network, criterion)


def one(program: str, model: str, checkouts: Path) -> None:
    folders = (TESTS, *(TESTS / "models" / name for name in ("curves", "nanodet_plus")))
    sys.path[:0] = map(str, folders)  # before this folder, which also has an inputs.py
    step = ours(model) if program == "unidet" else official(model, checkouts)
    print(json.dumps({"loss": step(), **figures(step, WARM_UP)}))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", type=Path, metavar="CHECKOUTS")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program (3)")
    options = parser.parse_args(arguments)
    print("| | unidet: CPU seconds, MiB | official | time | memory |\n|" + "---|" * 5)
    for model in options.models or (*SIZES, NANODET):

        def command(program: str, model: str = model) -> list[str]:
            python = sys.executable if program == "unidet" else str(PEERS)
            return [python, __file__, "--one", program, model, str(options.checkouts)]

        runs = in_turns(("unidet", "official"), command, options.rounds)
        ours, theirs = runs["unidet"], runs["official"]
        if abs(ours.median("loss") / theirs.median("loss") - 1) > CLOSE:
            raise ValueError(f"{model}: losses {ours.median('loss')} and {theirs.median('loss')}")
        numbers = [f"{run.median('cpu'):.2f} s, {run.median('mib'):.0f}" for run in (ours, theirs)]
        ratios = [f"{ours.median(what) / theirs.median(what):.2f}" for what in ("cpu", "mib")]
        print(f"| {' | '.join([model, *numbers, *ratios])} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:4], Path(sys.argv[4]))
    else:
        main(sys.argv[1:])
