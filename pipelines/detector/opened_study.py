"""The results of a finished study as pandas tables and numpy arrays: `unidet.open_study(…)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from unidet.config.study import Config
from unidet.errors import UserError, suggestion
from unidet.formats.results import read_detections
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pipelines.detector import from_study
from unidet.pipelines.detector.lineages import Lineage
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.wiring.embedding_artefacts import EMBEDDINGS, read_stored
from unidet.pipelines.wiring.image_sets import ImageSet, image_set_at
from unidet.pipelines.wiring.metrics_table import read_metrics

MAIN = "val"
"""The evaluation set that is meant where a study has several and none is named."""
OF_TEXT = ("lvis_raw", "clip_embeddings")
"""Stages that a closed-set study has no use for."""
CORNERS = ["x1", "y1", "x2", "y2"]


@dataclass(frozen=True)
class RegionArrays:
    """The R regions of all images of a set, as the RoI head computed them.

    Attributes:
        rows: (R,) int64 index of the region's image in the set, ascending.
        image_ids: (R,) int64 the set's own id of that image.
        boxes_xyxy: (R, 4) float32, refined and clipped, in pixels of the image.
        proposal_scores: (R,) float32, class-agnostic, 0 to 1.
        embeddings: (R, D) float16 or float32 of unit length.
    """

    rows: np.ndarray
    image_ids: np.ndarray
    boxes_xyxy: np.ndarray
    proposal_scores: np.ndarray
    embeddings: np.ndarray


class Study:
    """The artefacts of one lineage; nothing is computed, and everything is read on demand.

    The evaluation set may be omitted if a study has only one, or one called `val`.
    """

    def __init__(self, lineage: Lineage, config: Config) -> None:
        self.lineage, self.config = lineage, config

    def __repr__(self) -> str:
        folder = self.lineage.store.folder(self.lineage.head)
        return f"<Study of {folder}: {', '.join(self.lineage.actions)}>"

    @property
    def is_closed_set(self) -> bool:
        """Whether its detector predicts the classes of its training set, without text."""
        return self.lineage.head.stage == "rpn" and self.config.rpn.classes != "agnostic"

    @property
    def artefacts(self) -> pd.DataFrame:
        """A row for each artefact, by its label: `folder`, when it was `built` (UTC), `seconds`."""
        actions = self.lineage.actions
        rows = {
            label: (str(self.lineage.folder(label)), action.finished, action.seconds)
            for label, action in actions.items()
            if self.lineage.store.is_complete(action)
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["folder", "built", "seconds"])

    @property
    def metrics(self) -> pd.DataFrame:
        """A row for each artefact that holds metrics, by stage and set; a column for each metric.

        What an artefact does not measure is NaN.
        """
        rows = {}
        for label, action in self.lineage.actions.items():
            if "metrics.json" in action.files and self.lineage.store.is_complete(action):
                rows[action.stage, action.name] = read_metrics(self.lineage.folder(label))
        index = pd.MultiIndex.from_tuples(rows, names=["stage", "dataset"])
        return pd.DataFrame(list(rows.values()), index=index)

    def detections(self, dataset: str | None = None) -> pd.DataFrame:
        """A row for each detection: image_id, file_name, category_id, category, score, x1 … y2.

        Boxes are corners in pixels of the image, as evaluated (to 1/100 pixel).

        Raises:
            UserError: the set was not evaluated, or the study is of a fine-tuned head.
        """
        if self.lineage.head.stage == "finetune":
            before = self.lineage.folder("roi")
            raise UserError(
                "detections: stage finetune_eval stores only AP; the detections before fine-tuning "
                f"are in the study {before}"
            )
        stage = "lvis_eval" if self.lineage.of("lvis_eval") else "coco_eval"
        name = self.dataset(stage, dataset)
        split = self.images(name).split
        names = {category.id: category.name for category in split.categories}
        files = dict(zip(split.image_ids.tolist(), split.file_names, strict=True))
        detections = read_detections(
            self.lineage.folder(f"{stage}[{name}]") / "detections.json",
            split.image_ids,
            np.array([*names], np.int64),
            f"data[{name}]",
        )
        table = pd.DataFrame(
            {
                "image_id": detections.image_ids,
                "category_id": detections.category_ids,
                "score": detections.scores,
            }
        )
        table[CORNERS] = xywh_to_xyxy(detections.boxes_xywh)
        table.insert(1, "file_name", table["image_id"].map(files))
        table.insert(3, "category", table["category_id"].map(names))
        return table

    def proposals(self, dataset: str | None = None) -> pd.DataFrame:
        """A row for each class-agnostic proposal: image_id, score, x1 … y2, best first in an image.

        Raises:
            UserError: the set has no proposals.
        """
        name = self.dataset("proposals", dataset)
        ids = self.images(name).split.image_ids
        columns = self._columns(f"proposals[{name}]", len(ids), ("scores", "boxes_xyxy"))
        table = pd.DataFrame({"image_id": ids[columns["rows"]], "score": columns["scores"]})
        table[CORNERS] = columns["boxes_xyxy"]
        return table

    def regions(self, dataset: str | None = None) -> RegionArrays:
        """Every region of a set with its embedding.

        Raises:
            UserError: the RoI head has not run over the set.
        """
        name = self.dataset("lvis_raw", dataset)
        fields = ("boxes_xyxy", "proposal_scores", "embeddings")
        ids = self.images(name).split.image_ids
        columns = self._columns(self.regions_label(name), len(ids), fields)
        return RegionArrays(image_ids=ids[columns["rows"]], **columns)

    def regions_label(self, dataset: str) -> str:
        """The label of the artefact with the regions of a set by the study's own head."""
        head = self.lineage.head
        if head.stage == "finetune":
            return f"finetune_raw[{head.name}/{dataset}]"
        return f"lvis_raw[{dataset}]"

    def search(self, text: str, dataset: str | None = None, top: int = 20) -> pd.DataFrame:
        """The regions that match a text best: score, row and image_id of their image, x1 … y2. Only
        the text encoder runs. Of overlapping regions in an image only the best is returned.

        Raises:
            UserError: the RoI head has not run over the set, or the text cannot be embedded.
        """
        from unidet.pipelines.detector.search import best_regions

        return best_regions(self, text, self.dataset("lvis_raw", dataset), top)

    def embeddings(self, vocabulary: str | None = None) -> pd.DataFrame:
        """The (C, D) text embeddings of a vocabulary, float32 of any length, by name.

        Raises:
            UserError: the study has not embedded it.
        """
        name = self.dataset("clip_embeddings", vocabulary)
        file = self.lineage.folder(f"clip_embeddings[{name}]") / EMBEDDINGS
        vectors, names = read_stored(file)
        return pd.DataFrame(vectors, index=pd.Index(names, name="category"))

    def images(self, dataset: str | None = None) -> ImageSet:
        """A set's index (`split`) and its images (`images.read(row)`).

        Raises:
            UserError: the study has no such set.
        """
        name = self.dataset("data", dataset)
        folder = self.lineage.folder(f"data[{name}]")
        place = self.lineage.actions[f"data[{name}]"].sources.get("images")
        return image_set_at(folder, Path(place) if place else None, name)

    def dataset(self, stage: str, name: str | None) -> str:
        """The named evaluation set (or vocabulary) among those of a stage's artefacts, or the
        default one.

        Raises:
            UserError: it is none of them, or not clear.
        """
        known = self._sets(stage)
        if name is None and len(known) == 1:
            return known[0]
        wanted = MAIN if name is None else name
        if wanted in known:
            return wanted
        if not known and stage in OF_TEXT and self.is_closed_set:
            raise UserError(
                "a closed-set study has no text and no embeddings of regions, so it cannot be "
                "searched; docs/own-data.md says how to make one for any name"
            )
        if not known:
            raise UserError(f"{stage}: not in this study; run stage={stage} of this study")
        hint = "which one? "
        if name is not None:
            hint = f"there is no {name!r}; {suggestion(wanted, known)}"
        raise UserError(f"{stage}: {hint}there are {', '.join(map(repr, known))}")

    def _sets(self, stage: str) -> list[str]:
        """The sets with artefacts of a stage; for regions, by the study's own head."""
        head = self.lineage.head
        if stage == "lvis_raw" and head.stage == "finetune":
            pairs = [name.split("/", 1) for name in self.lineage.of("finetune_raw")]
            return sorted(name for network, name in pairs if network == head.name)
        return sorted(self.lineage.of(stage))

    def _columns(self, label: str, count: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The columns of all shards, and `rows`, the image of each entry among `count`."""
        shards = Sharded(self.lineage.folder(label) / SHARDS)
        images = [shards.of(row) for row in range(count)]
        counts = [len(image[names[0]]) for image in images]
        columns = {name: np.concatenate([image[name] for image in images]) for name in names}
        return {"rows": np.repeat(np.arange(len(images)), counts), **columns}


def open_study(
    study: str | Path | None = None,
    *,
    store: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Study:
    """The study of an experiment or a folder.

    Args:
        study: an experiment's name, or a folder: a store or an artefact in one; None: the newest
            on real images.
        store, overrides: as for `load`.

    Raises:
        UserError: nothing is trained there.
    """
    return Study(*from_study.find(study, store, overrides))
