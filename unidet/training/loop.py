"""The training loop of all networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import jittor as jt
import numpy as np
from jittor import nn

from unidet.config.training import Precision, TrainingConfig
from unidet.console.interrupt import Interrupted, stop_requested
from unidet.training import ranks
from unidet.training.checkpoint import load_checkpoint, save_checkpoint
from unidet.training.ema import WeightEMA
from unidet.training.log import TrainingLog
from unidet.training.loss_scale import LossScale
from unidet.training.optimizer import Optimizer
from unidet.training.precision import computing_in
from unidet.training.sanity import Sanity
from unidet.training.schedule import rate_factor
from unidet.training.step import LossOf, Prepare, Stepper, as_it_is, check_division

LOG_EVERY = 10
"""Steps from one row of the log to the next. Fixed, because the log is part of the artefact."""


class Progress(Protocol):
    """Shows the progress of a piece of work."""

    def update(self, done: int, total: int, note: str = "") -> None: ...


def train(
    model: nn.Module,
    loss_of: LossOf,
    batches_from: Callable[[int], Iterator[Any]],
    settings: TrainingConfig,
    *,
    seed: int,
    folder: Path,
    progress: Progress,
    prepare: Prepare = as_it_is,
    precision: Precision = "float32",
) -> dict[str, np.ndarray]:
    """Train `model` and return its final weights (their EMA if configured).

    `loss_of(batch, random)` gives `Losses`. `batches_from(step)` iterates over batches from that
    step on; in a data-parallel run each process gets its own share of them, and applies `prepare`
    to it before it is divided into parts. Checkpoint and log live in `folder`: the same call
    resumes after an interruption, and ends with weights equal bit for bit to the uninterrupted
    run's on a CPU. `precision` is that of convolutions and products.

    Raises:
        Interrupted: a signal asked to stop; the state is saved.
        UserError: the run learns nothing (see `sanity`), or the batch cannot be divided into parts.
    """
    check_division(settings)
    jt.sync_all()  # initial weights are drawn when first needed, and every step sets the seed anew
    ranks.share_weights(model)
    loss_scale = LossScale() if precision == "float16" else None
    optimizer = Optimizer(model, settings.optimizer, loss_scale)
    ema = _ema(model, settings)
    start = load_checkpoint(folder, model, optimizer, ema)
    ranks.wait_for_all()  # before the first one writes into the folder again
    log = TrainingLog(folder, start) if ranks.rank() == 0 else None
    sanity = Sanity(model)
    update = Stepper(model, loss_of, prepare, optimizer, settings.accumulate)
    batches = batches_from(start)
    for step in range(start, settings.steps):
        factor = rate_factor(settings.schedule, step, settings.steps)
        batch = ranks.padded_alike(next(batches))
        # what overflows there is told by `sanity`, once and with what to do
        with computing_in(precision), np.errstate(all="ignore"):
            values = update(batch, (seed, step), factor)
        if ema:
            ema.update(step)
        # Without a sync per step the EMA's graph grows, and the bits depend on who looked.
        jt.sync_all()
        numbers = ranks.added_up({name: float(var.item()) for name, var in values.items()})
        sanity.check(step, numbers)
        progress.update(step + 1, settings.steps, f"loss {numbers['loss']:.3f}")
        if log and (step % LOG_EVERY == 0 or step + 1 == settings.steps):
            log.write(step, numbers | {"lr": settings.optimizer.lr * factor})
        stopping = bool(ranks.anywhere(np.array(stop_requested())))
        if log and (stopping or (step + 1) % settings.checkpoint_every == 0):
            save_checkpoint(folder, step + 1, model, optimizer, ema, log.rows)
        if stopping:
            ranks.wait_for_all()  # the first process may still be saving
            raise Interrupted(f"saved after step {step + 1} of {settings.steps}")
    weights = ema.state() if ema else _weights(model)
    sanity.check_weights(settings.steps, weights)
    return weights


def _ema(model: nn.Module, settings: TrainingConfig) -> WeightEMA | None:
    if not settings.ema_decay:
        return None
    return WeightEMA(model, settings.ema_decay, settings.ema_warmup, settings.ema_offset)


def _weights(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: var.numpy() for name, var in model.state_dict().items()}
