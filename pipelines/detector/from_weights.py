"""Opens a network from checkpoints, with the settings of their layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.compose import compose
from unidet.config.stages import TextEmbeddings
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.detector import texts
from unidet.pipelines.detector.closed_set import ClosedSet
from unidet.pipelines.detector.network import Network
from unidet.pipelines.detector.one_network import OneNetwork
from unidet.pipelines.detector.texts import Encode, Texts
from unidet.pipelines.detector.two_stage import TwoStage
from unidet.pipelines.engine.engine import bring_up_jittor
from unidet.pipelines.wiring.class_outputs import CLASS_ROWS, named_outputs
from unidet.pipelines.wiring.study_networks import END_TO_END, end_to_end
from unidet.vocabularies.vocabulary import names_by_number
from unidet.weights.other_files import require_file

PAGES = {
    "unidetector_stage1": "rpn=cln_r50_fpn",
    "unidetector_stage1_rpn": "rpn=rpn_r50_fpn",
    "nanodet_plus_m": "rpn=nanodet_plus_m_416",
    "nanodet_plus_m_1_5x": "rpn=nanodet_plus_m_1_5x_416",
    "rtdetr_r18vd": "rpn=rtdetr_r18vd",
    "rtdetr_r34vd": "rpn=rtdetr_r34vd",
    "rtdetr_r50vd": "rpn=rtdetr_r50vd",
    "rtdetr_r101vd": "rpn=rtdetr_r101vd",
    "detr_r50": "rpn=detr_r50",
    "unidetector_stage2": "roi=clip_r50_c4",
    "unidetector_stage2_partitioned": "roi=clip_r50_c4",
    "unidetector_end2end": "end2end=clip_r50_c4",
    "unidetector_end2end_partitioned": "end2end=clip_r50_c4",
}
"""Layout of a checkpoint -> the page of settings of its network, in `conf/GROUP`."""
BASE = (
    "clip_embeddings=prompts81",
    "calibration.compat=default",  # officially a name that is never found silences all others
    "rpn.training=null",
    "roi.training=null",
)
DECOUPLED_BASE = ("experiment=coco_o365",)
END_TO_END_BASE = ("experiment=coco_o365_end2end", "end2end.training=null")
PACKAGED_MERGES = "unidet.models.clip", "merges.txt.gz"


def open_network(files: Mapping[str, Path], overrides: Sequence[str]) -> Network:
    """The network of these files, which are named as the arguments of `model.load`.

    Raises:
        UserError: a file is missing or not what its name says.
    """
    for name, path in files.items():
        require_file(path, f"{name}: there is no file {path}")
    if "weights" not in files:
        raise UserError(
            f"{', '.join(files)}: says which part of a detector, not which one; give weights=FILE, "
            "a second stage's or a closed-set detector's checkpoint"
        )
    last = _read("weights", files["weights"], overrides)
    if last.group == END_TO_END:
        return _one_network(last, files, overrides)
    if "proposals_weights" in files:
        first = _read("proposals_weights", files["proposals_weights"], overrides)
        return _two_stage(first, last, files, overrides)
    return _closed_set(last, files, overrides)


# --- checkpoints -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Checkpoint:
    """A file under our names; `page` is the setting that chooses its network, `classes` the names
    of its outputs where it carries them."""

    path: Path
    page: str
    arrays: Mapping[str, np.ndarray]
    vocabularies: tuple[np.ndarray, ...] = ()
    classes: tuple[str | None, ...] = ()

    @property
    def group(self) -> str:
        """`rpn`, `roi` or `end2end`."""
        return self.page.partition("=")[0]


def _read(name: str, path: Path, overrides: Sequence[str]) -> _Checkpoint:
    """A checkpoint and its page: the one chosen by the overrides, else that of its layout."""
    from unidet.weights.class_names import read_class_names
    from unidet.weights.layouts.layout import KEPT, VOCABULARY
    from unidet.weights.layouts.registry import NoLayout, open_weights
    from unidet.weights.read import read_checkpoint

    try:
        weights = open_weights(path)
    except UserError as error:
        groups = ("roi", END_TO_END, "rpn") if name == "weights" else ("rpn",)
        page = next(filter(None, (_chosen(group, overrides) for group in groups)), "")
        if not page:
            hint = "; for a network of your own: rpn=PAGE, roi=PAGE, or end2end=PAGE"
            raise UserError(f"{error}{hint * isinstance(error, NoLayout)}") from None
        arrays = read_checkpoint(path)
        own = {
            key: array for key, array in arrays.items() if not key.startswith((KEPT, VOCABULARY))
        }
        return _Checkpoint(path, page, own, classes=read_class_names(path))
    page = PAGES.get(weights.layout.name, "")
    if not page:
        raise UserError(
            f"{name}: {path} holds {weights.layout.summary}; what detects is {', '.join(PAGES)}"
        )
    page = _chosen(page.partition("=")[0], overrides) or page
    return _Checkpoint(path, page, weights.arrays, weights.vocabularies, weights.classes)


def _chosen(group: str, overrides: Sequence[str]) -> str:
    """The override that chooses a page of this group; empty if none does."""
    return next((item for item in reversed(overrides) if item.startswith(f"{group}=")), "")


def _config(pages: Sequence[str], overrides: Sequence[str]) -> Config:
    """The configuration with these pages, unless the overrides choose others."""
    groups = {item.partition("=")[0] for item in overrides}
    is_end_to_end = any(page.startswith(f"{END_TO_END}=") for page in pages)
    kind = END_TO_END_BASE if is_end_to_end else DECOUPLED_BASE
    own = [item for item in (*kind, *BASE, *pages) if item.partition("=")[0] not in groups]
    return compose([*own, *overrides])


def _load(network: Any, checkpoint: _Checkpoint) -> None:
    """The weights, but for parts that no inference reads."""
    from unidet.pipelines.wiring.any_checkpoint import optional_parts
    from unidet.weights.load import Misfit, load_into

    try:
        optional = optional_parts(network)
        load_into(network, checkpoint.arrays, allow_missing=optional, allow_unexpected=optional)
    except Misfit as error:
        raise UserError(f"{checkpoint.path}: {error}; its settings: {checkpoint.page}") from error


# --- the kinds -----------------------------------------------------------------------------


def _closed_set(
    checkpoint: _Checkpoint, files: Mapping[str, Path], overrides: Sequence[str]
) -> ClosedSet:
    config = _config([checkpoint.page], overrides)
    kind = config.rpn.network.kind
    if checkpoint.group == "roi":
        raise UserError(
            f"weights: {checkpoint.path} is a second stage; it needs a proposal network's "
            "checkpoint as well, as proposals weights (docs/weights.md)"
        )
    if kind not in CLASS_ROWS:
        from unidet.pipelines.wiring.new_weights import no_classes

        raise UserError(
            f"weights: {checkpoint.path} {no_classes(kind)}; give it as proposals weights, and a "
            "second stage as weights (docs/weights.md)"
        )
    for name in files:
        if name != "weights":
            raise UserError(f"{name}: a closed-set detector ({kind}) takes none")
    bring_up_jittor(config)
    from unidet.pipelines.proposers.proposer import Detector

    network = _proposer(config, checkpoint)
    assert isinstance(network, Detector)
    count = _classes(config, checkpoint)
    names = named_outputs(checkpoint.classes, count)
    supposed = () if names else names_by_number(count)
    return ClosedSet(
        network,
        config.rpn.images,
        names or supposed or count,
        config.proposals.keep,
        are_supposed=bool(supposed),
    )


def _proposer(config: Config, checkpoint: _Checkpoint) -> Any:
    """The proposal network, with as many classes as the checkpoint."""
    from unidet.pipelines.proposers.proposer import build_proposer

    network = build_proposer(config.rpn, _classes(config, checkpoint))
    _load(network, checkpoint)
    return network


def _classes(config: Config, checkpoint: _Checkpoint) -> int:
    """The number of classes of a checkpoint; 0 if class-agnostic."""
    name, others = CLASS_ROWS.get(config.rpn.network.kind, ("", 0))
    return len(checkpoint.arrays[name]) - others if name in checkpoint.arrays else 0


def _two_stage(
    first: _Checkpoint, second: _Checkpoint, files: Mapping[str, Path], overrides: Sequence[str]
) -> TwoStage:
    for name, checkpoint, group in (
        ("proposals_weights", first, "rpn"),
        ("weights", second, "roi"),
    ):
        if checkpoint.group != group:
            kind = "a second stage" if group == "roi" else "a proposal network"
            raise UserError(f"{name}: {checkpoint.path} is of {checkpoint.page}; it must be {kind}")
    config = _config([first.page, second.page], overrides)
    bring_up_jittor(config)
    from unidet.pipelines.wiring.classifier import build_classifier

    regions = build_classifier(config.roi.network)
    _load(regions, second)
    return TwoStage(config, {"": _proposer(config, first)}, regions, _texts(config, second, files))


def _one_network(
    checkpoint: _Checkpoint, files: Mapping[str, Path], overrides: Sequence[str]
) -> OneNetwork:
    if "proposals_weights" in files:
        raise UserError(
            f"proposals_weights: {checkpoint.path} proposes by itself (end to end); leave them out"
        )
    config = _config([checkpoint.page], overrides)
    bring_up_jittor(config)
    from unidet.pipelines.wiring.end_to_end import build_end_to_end

    settings = end_to_end(config)
    assert settings is not None  # its page is of that kind
    network = build_end_to_end(settings)
    _load(network, checkpoint)
    return OneNetwork(config, network, settings.images, _texts(config, checkpoint, files))


# --- names -------------------------------------------------------------------------------------


def _texts(config: Config, second: _Checkpoint, files: Mapping[str, Path]) -> Texts:
    """Given embeddings, from a file or the checkpoint, and the text encoder if there is one."""
    path, encoder = files.get("embeddings"), files.get("text_encoder")
    own = texts.together([texts.of_size(vectors) for vectors in second.vocabularies])
    ready = texts.read_ready(path) if path else own
    if ready is None and encoder is None:
        raise UserError(
            f"weights: {second.path} holds no embeddings of names; give OpenAI's CLIP "
            "(--text-encoder FILE; in Python text_encoder=FILE), or ready ones (--embeddings FILE; "
            "embeddings=FILE)"
        )
    return Texts(ready, (lambda: open_encoder(encoder, config)) if encoder else None)


def open_encoder(checkpoint: Path, config: Config) -> Encode:
    """The text side of OpenAI's CLIP, with the configuration's prompts.

    Raises:
        UserError: the checkpoint is of no CLIP, or the prompts are switched off.
    """
    from unidet.models.clip.tokenizer import read_merges
    from unidet.pipelines.wiring.text_encoder import HEAD_WIDTH, name_encoder
    from unidet.weights.layouts.registry import open_weights

    prompts = config.clip_embeddings
    if not isinstance(prompts, TextEmbeddings):
        raise UserError("clip_embeddings.source: must be clip where a text encoder is given")
    weights = open_weights(checkpoint)
    arrays = weights.part("text.")
    if not arrays:
        raise UserError(
            f"text_encoder: {checkpoint} holds {weights.layout.summary}; it must be OpenAI's CLIP "
            "with its text side"
        )
    package, name = PACKAGED_MERGES
    with resources.as_file(resources.files(package).joinpath(name)) as file:
        merges = read_merges(file)
    width = arrays["positional_embedding"].shape[1]
    encoder = name_encoder(arrays, merges, width // HEAD_WIDTH)
    return lambda names: encoder.embed(names, prompts)
