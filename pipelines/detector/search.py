"""Text search in the stored region embeddings of a finished study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from unidet.errors import UserError
from unidet.evaluation.calibration import fuse_scores
from unidet.evaluation.detections import TextClassifier
from unidet.pipelines.detector import from_study
from unidet.pipelines.detector.opened_study import CORNERS
from unidet.pipelines.detector.options import one_name_each
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.wiring.embedding_artefacts import read_classifier
from unidet.report.draw import beside, draw_boxes
from unidet.vocabularies.vocabulary import Vocabulary

if TYPE_CHECKING:
    from unidet.pipelines.detector.opened_study import Study

TILE = 192
"""Pixels of a side of a region's image on the contact sheet."""
MARGIN = 0.25
"""Of a region's sides, shown around it."""
ACROSS = 5


def best_regions(study: Study, text: str, dataset: str, top: int) -> pd.DataFrame:
    """As `Study.search`; scores are a detector's: probability and proposal score, fused."""
    folder = study.lineage.intact_folder(study.regions_label(dataset))
    classifier = _classifier(study, text, read_classifier(folder))
    best = pd.DataFrame(columns=["score", "row", *CORNERS])
    ids = study.images(dataset).split.image_ids
    shards = Sharded(folder / SHARDS)
    for table in _scored(shards, len(ids), classifier, study.config.calibration.beta):
        best = pd.concat([best, table]) if len(best) else table
        best = best.nlargest(top, "score", keep="first")
    if not len(best):
        raise UserError(f"{dataset}: the RoI head has not seen a region; are there proposals?")
    best.insert(2, "image_id", ids[best["row"].to_numpy(np.int64)])
    return best.reset_index(drop=True)


def _classifier(study: Study, text: str, settings: dict[str, float]) -> TextClassifier:
    texts = from_study.texts_of(study.lineage, study.config)
    return TextClassifier.of(texts.embed(Vocabulary.of([text])), np.zeros(1), **settings)


def _scored(
    shards: Sharded, count: int, classifier: TextClassifier, beta: float
) -> Iterator[pd.DataFrame]:
    """The regions of each of `count` images, without those that overlap a better one much."""
    for row in range(count):
        columns = shards.of(row)
        probabilities = classifier.probabilities(columns["embeddings"])
        scores = fuse_scores(probabilities, columns["proposal_scores"], beta)[:, 0]
        order = np.argsort(-scores, kind="stable")
        kept = order[one_name_each(columns["boxes_xyxy"][order], len(order))]
        table = pd.DataFrame({"score": scores[kept], "row": row})
        table[CORNERS] = columns["boxes_xyxy"][kept]
        yield table


def contact_sheet(study: Study, dataset: str, best: pd.DataFrame) -> Image.Image:
    """The regions in rows, each with some context and its score."""
    images = study.images(dataset).images
    tiles, titles = [], []
    for rank, region in enumerate(best.itertuples(index=False), start=1):
        box = np.array([region.x1, region.y1, region.x2, region.y2], np.float64)
        tiles.append(_tile(images.read(int(region.row)), box))
        titles.append(f"{rank}: {region.score:.2f}")
    starts = range(0, len(tiles), ACROSS)
    rows = [beside(tiles[at : at + ACROSS], titles[at : at + ACROSS]) for at in starts]
    sheet = Image.new(
        "RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white"
    )
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _tile(pixels: np.ndarray, box: np.ndarray) -> Image.Image:
    """The region and its surroundings, drawn into a square."""
    height, width, _ = pixels.shape
    margin = np.tile((box[2:] - box[:2]) * MARGIN, 2) * [-1, -1, 1, 1]
    left, top, right, bottom = (box + margin).clip(0, [width, height, width, height])
    left, top = int(min(left, width - 1)), int(min(top, height - 1))
    right, bottom = max(int(np.ceil(right)), left + 1), max(int(np.ceil(bottom)), top + 1)
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    drawn = draw_boxes(part, (box - [left, top, left, top])[None], [""])
    drawn.thumbnail((TILE, TILE))
    square = Image.new("RGB", (TILE, TILE), "white")
    square.paste(drawn, ((TILE - drawn.width) // 2, (TILE - drawn.height) // 2))
    return square
