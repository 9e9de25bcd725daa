"""Reads a network's weights from a file in any layout: ours, official, or of a part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unidet.errors import UserError
from unidet.pipelines.wiring.class_outputs import with_own_classes
from unidet.pipelines.wiring.starting_weights import ClassOutputs
from unidet.weights.prefixes import below, under

if TYPE_CHECKING:
    from jittor import nn


def load_checkpoint(
    network: nn.Module, path: Path, *, is_trained_further: bool, outputs: ClassOutputs | None = None
) -> None:
    """As `starting_weights.load_starting_weights`."""
    from unidet.weights.class_names import read_class_names
    from unidet.weights.load import Misfit, load_into, state_of

    arrays, is_whole = _arrays(network, path)
    place = _image_side(network)
    if place and not is_whole:
        arrays = under(place, arrays)
    optional = optional_parts(network)
    if outputs:
        own, in_file = state_of(network), read_class_names(path)
        try:
            arrays = with_own_classes(
                arrays, own, outputs, in_file, is_trained_further=is_trained_further
            )
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    if not is_whole and not is_trained_further:
        raise UserError(f"{path}: holds a backbone, not the whole network; it must be trained")
    others = [name for name in _names(network) if not _is_backbone(name.removeprefix(place))]
    missing = [] if is_whole else others
    try:
        load_into(
            network,
            arrays,
            allow_missing=(*optional, *(name for name in missing if name not in arrays)),
            allow_unexpected=optional,
        )
    except Misfit as error:
        raise Misfit(f"{path}: {error}") from error


def optional_parts(network: nn.Module) -> tuple[str, ...]:
    """Patterns of the parts whose outputs no inference of the network reads: weights without them
    start these afresh. A CLN's classifier is one, as its objectness serves instead."""
    scores_by_objectness = "rpn_head.rpn_obj.weight" in _names(network)
    return ("aux_*", "rpn_head.rpn_cls.*") if scores_by_objectness else ("aux_*",)


def _image_side(network: nn.Module) -> str:
    """The prefix of a network's backbone: `regions.` in an end-to-end network, else none."""
    return "regions." if any(name.startswith("regions.") for name in _names(network)) else ""


def _is_backbone(name: str) -> bool:
    return name.startswith(("backbone.", "shared_layer.", "pool."))


def _names(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_parameters()]


def _arrays(network: nn.Module, path: Path) -> tuple[dict[str, np.ndarray], bool]:
    """The file's arrays under this network's names, and whether they should be complete."""
    from unidet.weights.layouts.layout import KEPT, VOCABULARY
    from unidet.weights.layouts.registry import open_weights
    from unidet.weights.ncnn import is_ncnn
    from unidet.weights.read import read_checkpoint

    if not is_ncnn(path):
        arrays = {
            name: array
            for name, array in read_checkpoint(path).items()
            if not name.startswith((KEPT, VOCABULARY))
        }
        if arrays.keys() == set(_names(network)):
            return arrays, True
    weights = open_weights(path)
    source = weights.layout.network
    if source.startswith(("resnet", "shufflenet")):
        return under("backbone.", weights.arrays), False
    if source.startswith("clip_"):
        return of_regions(weights.part("image.")), False
    return weights.arrays, not source.startswith("regionclip_")


def of_regions(image: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """CLIP's image side under the RoI network's names: its last layer and its pool stand alone."""
    return {
        **under("shared_layer.", below("backbone.layer4.", image)),
        **{n: a for n, a in image.items() if n.startswith("backbone.") and ".layer4." not in n},
        **under("pool.", below("attnpool.", image)),
    }
