"""What a network starts from where the study names a checkpoint: `rpn.weights`, `roi.weights`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.networks import below
from unidet.records import Batch

OPTIONAL = ("aux_*", "rpn_head.rpn_cls.*")
"""Parts whose outputs no inference reads: weights without them start these afresh."""
UNFOLDED_ON = 32


def starting_file(key: str, root: str, place: str) -> dict[str, Path]:
    """The checkpoint, and where it is an ncnn graph the weights beside it, for a stage's key.

    Args:
        key: what the configuration calls it, for messages.
        root, place: `data.root`, and the file relative to it; an empty place is none.

    Raises:
        UserError: a file is not there.
    """
    if not place:
        return {}
    path = Path(root) / place
    found = {"weights": path}
    if path.suffix == ".param":
        found["weights.bin"] = path.with_suffix(".bin")
    for file in found.values():
        if not file.is_file():
            raise UserError(f"{key}: {file} is not there; it is looked for below data.root")
    return found


def load_starting_weights(network: Any, path: Path, *, is_trained_further: bool) -> None:
    """Weights of any file: ours of any size, or official ones in a layout of this network.

    Args:
        is_trained_further: a part will do: an ImageNet or CLIP backbone, or a network that lacks
            what only training uses.

    Raises:
        UserError: the file cannot be read; Misfit where it does not fit the network.
    """
    from unidet.weights.load import Misfit, load_into

    arrays, is_whole = _arrays(network, path)
    if not is_whole and not is_trained_further:
        raise UserError(f"{path}: holds a backbone, not the whole network; it must be trained")
    missing = [] if is_whole else [name for name in _names(network) if not _is_backbone(name)]
    try:
        load_into(
            network,
            arrays,
            allow_missing=(*OPTIONAL, *(name for name in missing if name not in arrays)),
            allow_unexpected=OPTIONAL,
        )
    except Misfit as error:
        raise Misfit(f"{path}: {error}") from error


def unfold_norms(network: Any, batches: Iterator[Batch]) -> None:
    """Make a NanoDet-Plus read from ncnn, whose norms were folded away, fit for training.

    Its norms get the statistics of the first `UNFOLDED_ON` images; others keep what they have.
    """
    from unidet.models.folded import is_folded

    if is_folded(network.backbone):
        first = next(batches).images_NCHW
        more = -(-UNFOLDED_ON // len(first)) - 1
        network.unfold([first, *(batch.images_NCHW for batch in islice(batches, more))])


def keep_weights(job: Job, network: Any, stage: str) -> None:
    """Leave model.safetensors with the weights as they were given, where nothing is trained.

    Raises:
        UserError: no weights were given.
    """
    from unidet.weights.load import state_of
    from unidet.weights.write import write_safetensors

    if not getattr(job.config, stage).weights:
        raise UserError(
            f"{stage}.training: null needs a trained network; name one: {stage}.weights=FILE"
        )
    write_safetensors(job.out / "model.safetensors", state_of(network))


def _is_backbone(name: str) -> bool:
    return name.startswith(("backbone.", "shared_layer.", "pool."))


def _names(network: Any) -> list[str]:
    return [name for name, _ in network.named_parameters()]


def _arrays(network: Any, path: Path) -> tuple[dict[str, np.ndarray], bool]:
    """The file's arrays under this network's names, and whether they are meant to be all of it."""
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
        return {f"backbone.{name}": array for name, array in weights.arrays.items()}, False
    if source.startswith("clip_"):
        return of_regions(weights.part("image.")), False
    return weights.arrays, not source.startswith("regionclip_")


def of_regions(image: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """CLIP's image side under the RoI network's names: its last layer and its pool stand alone."""
    return {
        **_renamed(below(image, "backbone.layer4."), "shared_layer."),
        **{n: a for n, a in image.items() if n.startswith("backbone.") and ".layer4." not in n},
        **_renamed(below(image, "attnpool."), "pool."),
    }


def _renamed(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}
