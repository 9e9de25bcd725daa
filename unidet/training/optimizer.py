"""Optimizers over named parameters, with their state as plain arrays."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import jittor as jt
import numpy as np
from jittor import nn

from unidet.config.training import OptimizerConfig
from unidet.training import ranks
from unidet.training.loss_scale import LossScale


def trainable(model: nn.Module) -> dict[str, jt.Var]:
    """Parameters that receive gradients, by name; without statistics and frozen parameters."""
    return {name: var for name, var in model.named_parameters() if not var.is_stop_grad()}


class Optimizer:
    """Jittor's SGD or AdamW, with learning-rate groups chosen by part of the parameter's name.

    With a `loss_scale`, steps whose gradients overflow make no update.
    """

    def __init__(
        self, model: nn.Module, settings: OptimizerConfig, loss_scale: LossScale | None = None
    ) -> None:
        self.names = list(trainable(model))
        self._settings = settings
        self._loss_scale = loss_scale
        self._updates = 0
        groups = [
            {
                "params": [var],
                "factor": _factor(name, settings.groups),
                "weight_decay": _decay(name, settings),
                "grads": [jt.zeros_like(var).stop_grad().stop_fuse()],
                "spent": True,  # those gradients have made their update
            }
            for name, var in trainable(model).items()
        ]
        if settings.kind == "sgd":
            self._inner = jt.optim.SGD(
                groups, settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
            )
        else:
            self._inner = jt.optim.AdamW(
                groups, settings.lr, betas=settings.betas, weight_decay=settings.weight_decay
            )

    def add(
        self, loss: jt.Var, inputs: Sequence[jt.Var] = (), *, without: Collection[int] = ()
    ) -> list[jt.Var]:
        """Add the gradients of `loss` to those of the next update; gives those of `inputs`.

        `without`: `id`s of the parameters that the loss does not depend on.
        """
        if self._loss_scale:
            loss = self._loss_scale.scaled(loss)
        groups = [
            group for group in self._inner.param_groups if id(group["params"][0]) not in without
        ]
        variables = [*(group["params"][0] for group in groups), *inputs]
        jt.sync(variables)
        gradients = [gradient.stop_grad() for gradient in jt.grad(loss, variables, False)]
        for group, gradient in zip(groups, gradients, strict=False):
            (held,) = group["grads"]
            held.update(gradient if group["spent"] else gradient + held)
            group["spent"] = False
        return gradients[len(groups) :]

    def step(self, rate_factor: float) -> None:
        """One update with the accumulated gradients and the learning rate times the factor."""
        groups = self._inner.param_groups
        for group in groups:
            group["lr"] = self._settings.lr * group["factor"] * rate_factor
        gradients = [gradient for group in groups for gradient in group["grads"]]
        ranks.add_up_gradients(gradients)
        if self._loss_scale and not self._loss_scale.unscale(gradients):
            self._forget()
            return
        if self._settings.clip_norm:
            clip(gradients, self._settings.clip_norm)
        self._updates += 1
        self._inner.n_step = self._updates
        self._inner.step()
        self._forget()

    def _forget(self) -> None:
        for group in self._inner.param_groups:
            group["spent"] = True

    def state(self) -> dict[str, np.ndarray]:
        """Moments by parameter name, the number of updates so far, the loss scale."""
        arrays = {"updates": np.array([self._updates], np.int64)}
        if self._loss_scale:
            arrays["loss_scale"] = self._loss_scale.state()
        for name, moments in self._moments():
            arrays |= {f"{kind}/{name}": var.numpy() for kind, var in moments.items()}
        return arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._updates = int(arrays["updates"][0])
        if self._loss_scale:
            self._loss_scale.load(arrays["loss_scale"])
        for name, moments in self._moments():
            for kind, var in moments.items():
                var.update(jt.array(arrays[f"{kind}/{name}"]))

    def _moments(self) -> list[tuple[str, dict[str, jt.Var]]]:
        kinds = ("values", "m") if self._settings.kind == "adamw" else ("values",)
        return [
            (name, {kind: group[kind][0] for kind in kinds})
            for name, group in zip(self.names, self._inner.param_groups, strict=True)
        ]


def clip(gradients: list[jt.Var], most: float) -> None:
    """Scale all gradients alike, in place, to a joint norm of at most `most` (as PyTorch's
    `clip_grad_norm_`).

    Squares are summed row by row first: float32's sum of all, which Jittor's own clipping takes,
    is percents too small for tens of millions of them.
    """
    rows = [grad.sqr().reshape(grad.shape[0], -1).sum(1) for grad in gradients]
    norm = jt.concat(rows).sum().sqrt()
    factor = jt.minimum(most / (norm + 1e-6), 1.0)
    for grad in gradients:
        grad.update(grad * factor)


def _factor(name: str, groups: dict[str, float]) -> float:
    """The factor of the longest group key that the name contains; 1 where none does."""
    matching = [key for key in groups if key in name]
    return groups[max(matching, key=len)] if matching else 1.0


def _decay(name: str, settings: OptimizerConfig) -> float:
    undecayed = any(re.search(pattern, name) for pattern in settings.no_decay)
    return 0.0 if undecayed else settings.weight_decay
