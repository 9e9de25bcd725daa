"""The proposal networks, one interface for all: what stage `rpn` trains and `proposals` runs.

Each has `loss(batch, rng)` -> named losses and `propose(images_NCHW, sizes_N2)` -> per image (P, 5)
xyxy + score, best first; all but the CLN know classes and have `detect(images_NCHW, sizes_N2)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.networks import CLNConfig, DETRConfig, NanoDetPlusConfig, RTDETRConfig
from unidet.config.stages import RpnConfig
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.wiring.datasets import ImageSet
from unidet.pipelines.wiring.networks import (
    below,
    build_backbone,
    clip_arrays,
    package_arrays,
    package_weights,
)
from unidet.pipelines.wiring.starting_weights import load_starting_weights, starting_file
from unidet.records import Batch, Category

Loss = Callable[[Batch, Any], Any]

CATEGORIES = "categories.json"
LARGEST_ID = 9_999
"""The largest category id that `rpn.classes=category_ids` makes outputs for."""
Outputs = Sequence[Category | None]
"""What each output stands for; None for a number that is no category id."""


def taught(config: RpnConfig, training: Sequence[ImageSet]) -> list[ImageSet]:
    """The training datasets that the network learns from."""
    return list(training) if config.classes == "agnostic" else [training[0]]


def outputs(config: RpnConfig, training: Sequence[ImageSet]) -> Outputs:
    """What the network tells apart; nothing for a class-agnostic one.

    Raises:
        UserError: ids that outputs cannot be numbered by.
    """
    known = () if config.classes == "agnostic" else training[0].split.categories
    if config.classes != "category_ids":
        return known
    by_id = {category.id: category for category in known}
    smallest, largest = min(by_id), max(by_id)
    if smallest < 0 or largest > LARGEST_ID:
        raise UserError(
            f"rpn.classes: {training[0].name} has category ids from {smallest} to {largest}; "
            f"category_ids takes 0 to {LARGEST_ID:,}, dataset takes any"
        )
    return tuple(by_id.get(number) for number in range(largest + 1))


def loss_of(config: RpnConfig, training: Sequence[ImageSet], loss: Loss) -> Loss:
    """`loss` of the batch with every box labelled by its output: 0 for a class-agnostic network."""
    if config.classes == "dataset":
        return loss
    ids = np.array([category.id for category in training[0].split.categories], np.int64)
    numbered = config.classes == "category_ids"

    def relabelled(batch: Batch, rng: Any) -> Any:
        labels = [ids[of] if numbered else np.zeros(len(of), np.int64) for of in batch.labels]
        return loss(replace(batch, labels=labels), rng)

    return relabelled


def build_proposer(config: RpnConfig, classes: int) -> Any:
    """The network; `classes` that it tells apart, 0 for a class-agnostic one."""
    network = config.network
    if isinstance(network, CLNConfig):
        if classes:
            raise UserError("rpn.classes: a CLN knows no classes; agnostic is the only choice")
        return _build_cln(network)
    known = max(classes, 1)
    if isinstance(network, NanoDetPlusConfig):
        return _build_nanodet_plus(network, known, auxiliary=config.training is not None)
    if isinstance(network, RTDETRConfig):
        return _build_rtdetr(network, known)
    return _build_detr(network, known)


def save_outputs(folder: Path, known: Outputs) -> None:
    """Beside the weights in an `rpn` artefact: id and name of every output, null for none."""
    records = [one and {"id": one.id, "name": one.name} for one in known]
    (folder / CATEGORIES).write_text(json.dumps(records))


def known_outputs(folder: Path) -> list[dict[str, Any] | None]:
    """What `save_outputs` left in an `rpn` artefact."""
    return json.loads((folder / CATEGORIES).read_text())


def open_proposer(config: RpnConfig, folder: Path) -> Any:
    """The trained network of the `rpn` artefact at `folder`."""
    from unidet.weights.load import load_into
    from unidet.weights.read import read_checkpoint

    network = build_proposer(config, len(known_outputs(folder)))
    load_into(network, read_checkpoint(folder / "model.safetensors"))
    return network


def _build_cln(config: CLNConfig) -> Any:
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


def _build_nanodet_plus(config: NanoDetPlusConfig, classes: int, *, auxiliary: bool) -> Any:
    from unidet.models.nanodet_plus.detector import NanoDetPlus

    return NanoDetPlus(
        backbone_channels=config.backbone_channels,
        channels=config.channels,
        classes=classes,
        auxiliary=auxiliary,
        candidates=config.candidates,
        proposal_nms=config.proposal_nms,
        max_proposals=config.max_proposals,
        detach_epoch=config.detach_epoch,
        compat=config.compat,
    )


def _build_rtdetr(config: RTDETRConfig, classes: int) -> Any:
    from unidet.models.rtdetr.network import RTDETR

    return RTDETR(
        config.variant,
        classes=classes,
        queries=config.queries,
        train_sides=config.train_sides,
        compat=config.compat,
    )


def _build_detr(config: DETRConfig, classes: int) -> Any:
    from unidet.models.detr.network import DETR

    return DETR(
        classes=classes,
        queries=config.queries,
        dropout=config.dropout,
        frozen_stages=config.frozen_stages,
        batch_norm_training=config.batch_norm_training,
        compat=config.compat,
    )


def initialise(network: Any, config: RpnConfig, root: str, inputs: Mapping[str, Path]) -> None:
    """Give the network what it starts from: `rpn.weights`, or what its backbone begins with.

    Raises:
        UserError: the file cannot be read, or does not fit the network.
    """
    from unidet.weights.load import Misfit

    if config.weights:
        trained = config.training is not None
        try:
            load_starting_weights(network, Path(root) / config.weights, is_trained_further=trained)
        except Misfit as error:
            raise UserError(f"{error}; rpn.network and rpn.classes say what it must be") from error
    elif isinstance(config.network, CLNConfig):
        _initialise_backbone(network.backbone, config.network, inputs)


def _initialise_backbone(network: Any, config: CLNConfig, inputs: Mapping[str, Path]) -> None:
    """Give the proposal network's backbone its starting weights, as `initialise` says."""
    from unidet.weights.load import load_into

    if config.initialise == "clip":
        arrays = clip_arrays(inputs["clip"])
        load_into(
            network,
            below(arrays, "backbone.") | _under("layer4.", below(arrays, "shared_layer.")),
        )
    elif config.initialise == "package":
        from unidet.models.efficientnet import backbone_weights

        load_into(network, backbone_weights(package_arrays()), allow_unexpected=("blocks.*",))


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def starting_files(config: Config) -> dict[str, Path]:
    """Files outside the store that the network starts from: they enter the stage's key."""
    rpn = config.rpn
    if rpn.weights:
        return starting_file("rpn.weights", config.data.root, rpn.weights)
    if isinstance(rpn.network, CLNConfig) and rpn.network.initialise == "package":
        return {"imagenet": package_weights()}
    return {}
