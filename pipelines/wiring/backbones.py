"""The backbones, each loaded by its `kind`, and their initial weights.

Loaded by name, so that a network's key holds the code of its own backbone only (`code_of`).
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from unidet.config.networks import BackboneConfig

if TYPE_CHECKING:
    from unidet.models.efficientnet import EfficientNetLite0
    from unidet.models.layers import LastLayer
    from unidet.models.resnet import ResNet

    Backbone = ResNet | EfficientNetLite0

MODULES = {
    "resnet": "unidet.models.resnet",
    "efficientnet_lite0": "unidet.models.efficientnet",
}
"""Each has `build_backbone(settings, outputs)` and `build_last_layer(settings)`."""
IMAGENET_PACKAGE = "unidet.pipelines.wiring.imagenet_package"

Initialize = Literal["none", "clip", "package"]


def build_backbone(settings: BackboneConfig, outputs: tuple[int, ...]) -> Backbone:
    """A backbone that gives the maps of the layers in `outputs`, frozen as configured."""
    return import_module(MODULES[settings.kind]).build_backbone(settings, outputs)


def build_last_layer(settings: BackboneConfig) -> LastLayer:
    """Layer 4 alone, to run on regions."""
    return import_module(MODULES[settings.kind]).build_last_layer(settings)


def clip_weights(clip: Path) -> Path:
    """File of the `clip` stage's image side."""
    return clip / "image.safetensors"


def imagenet_package() -> ModuleType:
    """`wiring.imagenet_package`, which only `initialize: package` needs."""
    return import_module(IMAGENET_PACKAGE)


def inputs(initialize: Initialize) -> tuple[str, ...]:
    """Stages whose artefacts the starting weights come from."""
    return ("clip",) if initialize == "clip" else ()


def files(initialize: Initialize) -> dict[str, Path]:
    """Files outside the store that the starting weights come from.

    Raises:
        UserError: the package is not installed.
    """
    return {"imagenet": imagenet_package().weights_file()} if initialize == "package" else {}


def code_of(settings: BackboneConfig, initialize: Initialize) -> tuple[str, ...]:
    """The modules that hold the backbone's code: roots of a stage's code closure."""
    package = (IMAGENET_PACKAGE,) if initialize == "package" else ()
    return (MODULES[settings.kind], *package)
