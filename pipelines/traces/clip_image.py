"""CLIP's image encoder at full size (RN50, RN50x4).

Inputs: `img` (N, 3, S, S), normalized; S is 224 for RN50 and 288 for RN50x4.

`layer1` … `layer4` are the maps after each layer, `image_features` (N, E), not normalized.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.config.networks import ResNetConfig
from unidet.models.clip.attention_pool import AttentionPool
from unidet.models.clip.image import ImageEncoder
from unidet.models.resnet import ResNet
from unidet.ops.blocked_maps import as_array
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.seen import seen
from unidet.pipelines.wiring.text_encoder import HEAD_WIDTH
from unidet.weights.layouts.clip import SIZES
from unidet.weights.layouts.layout import Weights
from unidet.weights.load import load_into

STRIDE = 32


def build(weights: Weights) -> ImageEncoder:
    """Of the published size whose weights these are."""
    size = SIZES[weights.layout.network.removeprefix("clip_")]
    settings = ResNetConfig(
        kind="resnet",
        style="clip",
        block="bottleneck",
        width=size.width,
        blocks=size.blocks,
        frozen_stages=0,
    )
    backbone = ResNet(settings, outputs=(1, 2, 3, 4))
    channels = backbone.channels[-1]
    pool = AttentionPool(
        size=size.cells,
        channels=channels,
        heads=channels // HEAD_WIDTH,
        embedding=size.embedding,
    )
    network = ImageEncoder(backbone, pool)
    load_into(network, weights.part("image."))
    backbone.set_batch_norm_training(False)
    return network


def forward(network: ImageEncoder, inputs: Inputs) -> dict[str, np.ndarray]:
    """Every layer's map and the images' features."""
    images = inputs.take("img", "N", 3, "S", "S")
    side = network.attnpool.size * STRIDE
    if images.shape[2] != side:
        raise inputs.refusal(f"img has sides of {images.shape[2]}, this CLIP takes {side}")
    with jt.no_grad(), seen({"maps": network.backbone.execute}) as results:
        features = network(jt.array(images))
    (maps,) = results["maps"]
    tensors = {f"layer{index}": as_array(feats) for index, feats in enumerate(maps, start=1)}
    return tensors | {"image_features": features.numpy()}
