"""Stage `data`: a validated, columnar index of every split, and a manifest of what was read."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.data import EvaluationSet, FolderData, TrainingSet
from unidet.config.study import Config
from unidet.console.terminal import say
from unidet.data.images import FolderImages, check_images
from unidet.data.index import save_split
from unidet.data.novelty import mark_novel
from unidet.data.readers import split_of
from unidet.errors import UserError
from unidet.formats.annotations import Annotations, read_annotations
from unidet.formats.ground_truth import ground_truth_of
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring.toy_data import make_toy_data
from unidet.records import Split


def files(config: Config) -> dict[str, Path]:
    """Annotation files and image folders enter the key by content."""
    if config.data.kind == "toy":
        return {}
    root = _root(config.data)
    found: dict[str, Path] = {}
    for kind, sets in (("training", config.data.training), ("evaluation", config.data.evaluation)):
        for name, dataset in sets.items():
            found[f"{kind}.{name}.annotations"] = _existing(root, dataset.annotations)
            found[f"images.{dataset.images}"] = _existing(root, dataset.images)
    return found


def run(job: Job) -> None:
    if job.config.data.kind == "toy":
        make_toy_data(job)
    else:
        _index_folder(job)


def _index_folder(job: Job) -> None:
    data: FolderData = job.config.data
    root = _root(data)
    reports: dict[str, dict] = {}
    training: dict[str, Split] = {}
    evaluation: dict[str, Split] = {}
    for kind, sets, splits in (
        ("training", data.training, training),
        ("evaluation", data.evaluation, evaluation),
    ):
        for name, dataset in sets.items():
            place = job.out / kind / name
            splits[name], reports[f"{kind}/{name}"] = _read(root, dataset, place)
    known = [c.name for split in training.values() for c in split.categories]
    pools = _pool_images(
        {name: (data.evaluation[name].images, s) for name, s in evaluation.items()}
    )
    for name, split in training.items():
        _save(split, job.out / "training" / name)
    for pool in pools.values():
        _save(pool.split, job.out / "images" / pool.split.name)
    for name, split in evaluation.items():
        place = job.out / "evaluation" / name
        _save(mark_novel(split, known), place)
        np.save(place / "rows.npy", pools[data.evaluation[name].images].rows[name])
    manifest = _manifest(data, pools, reports)
    (job.out / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _manifest(data: FolderData, pools: dict[str, _Pool], reports: dict[str, dict]) -> dict:
    """What `datasets` opens, and what was read and left out."""
    return {
        "training": [
            {"name": name, "vocabulary": item.vocabulary, "folder": item.images}
            for name, item in data.training.items()
        ],
        "images": [{"name": pool.split.name, "folder": folder} for folder, pool in pools.items()],
        "evaluation": [
            {
                "name": name,
                "style": item.style,
                "vocabulary": item.vocabulary,
                "image_set": pools[item.images].split.name,
            }
            for name, item in data.evaluation.items()
        ],
        "read": reports,
    }


def _read(
    root: Path, dataset: TrainingSet | EvaluationSet, place: Path
) -> tuple[Split, dict[str, Any]]:
    """The split and what was read; an evaluation dataset leaves its ground truth in `place`."""
    read = read_annotations(_existing(root, dataset.annotations), limit=dataset.limit)
    split, report = split_of(read, root / dataset.images, name=place.name)
    lines = report.lines()
    if isinstance(dataset, EvaluationSet):
        notes = [f"  note: {note}" for note in ground_truth_of(read).notes]
        lines += [note for note in notes if note not in lines]
        _save_ground_truth(read, dataset.limit, place)
    check_images(FolderImages(root / dataset.images, split.file_names), split)
    for line in lines:
        say("  " + line.replace(f"{root}/", ""))
    # The key knows files by content: a manifest with this machine's paths would differ elsewhere.
    return split, report.as_dict() | {"source": dataset.annotations}


def _save_ground_truth(read: Annotations, limit: int, folder: Path) -> None:
    """As it is, masks included, or its first images where the dataset is limited."""
    folder.mkdir(parents=True)
    path = folder / "ground_truth.json"
    if limit:
        path.write_text(json.dumps(read.document))
    else:
        shutil.copyfile(read.file, path)


@dataclass(frozen=True)
class _Pool:
    """The images of one folder that any evaluation dataset needs, and each dataset's rows in it."""

    split: Split
    rows: dict[str, np.ndarray]


def _pool_images(sets: dict[str, tuple[str, Split]]) -> dict[str, _Pool]:
    """One pool a folder, so that networks run once over an image that several datasets judge."""
    return {
        folder: _pool(
            folder, {name: split for name, (place, split) in sets.items() if place == folder}
        )
        for folder in dict.fromkeys(folder for folder, _ in sets.values())
    }


def _pool(folder: str, splits: dict[str, Split]) -> _Pool:
    place: dict[str, int] = {}
    sources: list[tuple[Split, int]] = []
    rows = {}
    for name, split in splits.items():
        for row, file in enumerate(split.file_names):
            if file not in place:
                place[file] = len(place)
                sources.append((split, row))
        rows[name] = np.array([place[file] for file in split.file_names], np.int64)
    pooled = Split(
        name=folder.strip("/").replace("/", "-"),
        image_ids=np.arange(len(place), dtype=np.int64),
        file_names=tuple(place),
        widths=np.array([split.widths[row] for split, row in sources], np.int32),
        heights=np.array([split.heights[row] for split, row in sources], np.int32),
        box_image=np.zeros(0, np.int32),
        boxes_xyxy=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int32),
        is_crowd=np.zeros(0, bool),
        categories=(),
    )
    return _Pool(pooled, rows)


def _save(split: Split, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_split(split, folder / "index.npz")


def _root(data: FolderData) -> Path:
    if not data.root:
        raise UserError(
            "data.root: this experiment reads real data; give its folder: data.root=FOLDER"
        )
    root = Path(data.root)
    if not root.is_dir():
        raise UserError(f"data.root: {root} is not a folder")
    return root


def _existing(root: Path, place: str) -> Path:
    path = root / place
    if not path.exists():
        raise UserError(
            f"{path}: no such file or folder; check data.root and the experiment's layout"
        )
    return path


STAGE = Stage(name="data", version=1, reads=("data", "seed"), run=run, files=files, tensors=False)
