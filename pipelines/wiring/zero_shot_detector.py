"""Boxes with names on one's own pictures, by the newest trained models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unidet.config.fields import identity
from unidet.config.study import Config
from unidet.console.terminal import Progress, say
from unidet.data.images import read_image
from unidet.errors import UserError
from unidet.evaluation.detections import TextClassifier, detect_calibrated
from unidet.evaluation.regions import Regions
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pipelines.engine.engine import bring_up_jittor, open_store
from unidet.pipelines.engine.states import current
from unidet.pipelines.wiring.drawings import plan_drawings, results_file, save_drawing
from unidet.pipelines.wiring.embedding_artefacts import EMBEDDINGS
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.pipelines.wiring.region_scoring import suppression
from unidet.records import Detections
from unidet.report.draw import draw_boxes
from unidet.store.lineage import lineage
from unidet.store.record import Action
from unidet.store.store import Store

NO_BOXES = np.zeros((0, 4), np.float32)
NO_LABELS = np.zeros(0, np.int32)


def detect_files(
    config: Config, images: Sequence[str], vocabulary: str, out: str, threshold: float
) -> None:
    """Draw each picture and write detections.json into the folder `out`, one after another.

    Memory holds one picture at a time. All are decoded once before the models are opened, so that
    a damaged one is told before anything is written.

    Raises:
        UserError: no names, an image that cannot be read, a model that is not trained, a name that
            ready-made embeddings do not hold, or an output that would replace a file.
    """
    names = [name.strip() for name in vocabulary.split(",") if name.strip()]
    if not names:
        raise UserError('--vocab: names no category; give them like --vocab "cat, dog"')
    drawings = plan_drawings(images, Path(out))
    for path in _counted(list(drawings), "reading pictures"):
        read_image(Path(path))
    detector = _open(config, names)
    with results_file(Path(out)) as write:
        for path in _counted(list(drawings), "detecting"):
            shown = _detect_and_draw(Path(path), drawings[path], detector, names, threshold)
            for record in _records(path, shown, names):
                write(record)
            say(f"{path}: {len(shown)} boxes -> {drawings[path]}")


def _counted(items: list[str], label: str) -> Iterator[str]:
    progress = Progress(label)
    for done, item in enumerate(items, start=1):
        yield item
        progress.update(done, len(items))
    progress.close()


def _detect_and_draw(
    path: Path, target: Path, detector: Detector, names: list[str], threshold: float
) -> Detections:
    """The detections of at least this score, which are drawn."""
    pixels = read_image(path)
    detections = detector(pixels)
    shown = detections.take(detections.scores >= threshold)
    save_drawing(_draw(pixels, shown, names), target)
    return shown


@dataclass(frozen=True)
class Detector:
    """Proposals, regions and names for one picture after another."""

    config: Config
    proposer: Any
    regions: Any
    classifier: TextClassifier

    def __call__(self, pixels: np.ndarray) -> Detections:
        """Detections in (H, W, 3) uint8 pixels; category ids are positions in the vocabulary."""
        from unidet.training.inference import as_images

        rng = np.random.default_rng(0)
        first = evaluation_transform(self.config.rpn.images)
        batch = first.collate([first.apply(pixels, NO_BOXES, NO_LABELS, None, rng)])
        proposals = self.proposer.propose(as_images(batch), batch.sizes_N2)[0]
        proposals = proposals[: self.config.lvis_raw.proposals]
        proposals[:, :4] /= batch.scales_N4[0]
        second = evaluation_transform(self.config.roi.images)
        batch = second.collate([second.apply(pixels, NO_BOXES, NO_LABELS, proposals, rng)])
        boxes, embeddings = self.regions.regions(as_images(batch), batch.sizes_N2, batch.proposals)[
            0
        ]
        region = Regions(0, boxes / batch.scales_N4[0], proposals[:, 4], embeddings)
        return detect_calibrated(
            [region],
            self.classifier,
            beta=self.config.calibration.beta,
            gamma=0.0,  # one picture is no prior
            suppression=suppression(self.config.detection, self.config.calibration.compat),
        )


def _open(config: Config, names: list[str]) -> Detector:
    folders = _lineage(config)
    texts = _embed(config, names, folders)
    bring_up_jittor(config)
    from unidet.pipelines.proposers.proposer import open_proposer
    from unidet.pipelines.wiring.classifier import build_classifier
    from unidet.weights.load import load_into
    from unidet.weights.read import read_checkpoint

    proposer = open_proposer(config.rpn, folders["rpn"])
    regions = build_classifier(config.roi.network)
    load_into(regions, read_checkpoint(folders["roi"] / "model.safetensors"))
    classifier = TextClassifier.of(texts, np.arange(len(names)), **regions.classifier.settings())
    return Detector(config, proposer, regions, classifier)


def _embed(config: Config, names: list[str], folders: Mapping[str, Path]) -> np.ndarray:
    """(C, D) embeddings by the text encoder that `roi` was trained with, or from ready ones."""
    settings = config.clip_embeddings
    if settings.source == "files":
        return _ready(config, names)
    bring_up_jittor(config)
    from unidet.pipelines.wiring.text_encoder import open_text_encoder

    encoder = open_text_encoder(folders["clip"], config.clip)
    return encoder.embed(names, settings)


def _ready(config: Config, names: list[str]) -> np.ndarray:
    """Embeddings of all the study's vocabularies together."""
    embeddings: dict[str, np.ndarray] = {}
    actions = current("clip_embeddings", config, open_store(config))
    for action in reversed([action for action in actions.values() if action is not None]):
        with np.load(open_store(config).folder(action) / EMBEDDINGS) as arrays:
            pairs = zip(arrays["names"].tolist(), arrays["embeddings"], strict=True)
            embeddings.update({name.lower().replace("_", " "): vector for name, vector in pairs})
    unknown = [name for name in names if name.lower().replace("_", " ") not in embeddings]
    if unknown:
        raise UserError(
            f"--vocab: there is no embedding for {', '.join(map(repr, unknown))}; this experiment "
            "has no text encoder, only the names of its vocabularies (such as 'person', 'sofa')"
        )
    return np.stack([embeddings[name.lower().replace("_", " ")] for name in names])


def _lineage(config: Config) -> dict[str, Path]:
    """Folders of the newest `roi` of this configuration's networks, and of what it was made from.

    All of one lineage: a RoI head belongs to the proposals that it was trained on, and to the text
    encoder whose names it was trained with.

    Raises:
        UserError: nothing is trained, or something that it was made from is gone.
    """
    store = open_store(config)
    stages = ["rpn", "roi"] + (["clip"] if config.clip_embeddings.source == "clip" else [])
    for action in store.actions("roi"):
        nodes = {node.stage: node for node in lineage([action], store)}
        records = {stage: store.record(nodes[stage].key) for stage in stages if stage in nodes}
        if all(_is_ours(records.get(stage), stage, config, store) for stage in stages):
            return {stage: store.folder(record) for stage, record in records.items() if record}
    raise UserError(
        f"roi: nothing trained for experiment {config.experiment!r} in {store.root}; "
        f"run: unidet stage=roi experiment={config.experiment}"
    )


def _is_ours(action: Action | None, stage: str, config: Config, store: Store) -> bool:
    """Whether an artefact is there and was made with this configuration's network."""
    if action is None or not store.is_complete(action):
        return False
    return action.preimage["config"].get(stage) == identity(getattr(config, stage))


def _draw(pixels: np.ndarray, shown: Detections, names: list[str]) -> Image.Image:
    corners = xywh_to_xyxy(shown.boxes_xywh)
    pairs = zip(shown.category_ids, shown.scores, strict=True)
    texts = [f"{names[int(number)]} {score:.2f}" for number, score in pairs]
    return draw_boxes(pixels, corners, texts)


def _records(path: str, shown: Detections, names: list[str]) -> list[dict[str, Any]]:
    rows = zip(shown.category_ids, shown.boxes_xywh.tolist(), shown.scores.tolist(), strict=True)
    return [
        {"image": path, "category": names[int(number)], "bbox": box, "score": round(score, 5)}
        for number, box, score in rows
    ]
