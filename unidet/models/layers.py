"""What the convolutional networks share: freezing of parts, batch norm's mode, initialisation."""

from __future__ import annotations

from collections.abc import Iterable

import jittor as jt
from jittor import nn

from unidet.ops.batch_norm import BatchNorm2d


def set_batch_norm_training(module: nn.Module, training: bool) -> None:
    """Batch statistics (True) or running ones (False) below `module`; gradients stay on.

    `Module.eval()` would also stop every gradient, so a batch norm that uses running statistics
    while its weight and bias learn (the official setting) is reached only this way.
    """
    for child in module.modules():
        if isinstance(child, BatchNorm2d):
            child.is_train = training


def freeze(modules: Iterable[nn.Module]) -> None:
    """Stop the gradients of every parameter below `modules`, batch norm on running statistics."""
    for module in modules:
        set_batch_norm_training(module, False)
        for parameter in module.parameters():
            parameter.stop_grad()


def initialise_convolutions(module: nn.Module) -> None:
    """He's normal initialisation over the fan out, as torchvision's networks; biases 0."""
    for child in module.modules():
        if isinstance(child, nn.Conv):
            jt.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
            if child.bias is not None:
                jt.init.constant_(child.bias, 0.0)
