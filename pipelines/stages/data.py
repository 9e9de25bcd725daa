"""Stage `data`: one dataset, validated: columnar index, image digests, and what was read.

The toy world's sets and its crops for CLIP are made here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.config.data import EvaluationSet, ToyData, ToySet, TrainingSet
from unidet.config.fields import free
from unidet.config.study import Config
from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring.image_sets import GROUND_TRUTH, PACKED, save_image_set
from unidet.pipelines.wiring.study_sets import CROPS, DataSet, all_sets

if TYPE_CHECKING:
    import numpy as np

    from unidet.formats.annotations import Annotations

CROP_SPLITS = {"train": "clip_train", "test": "clip_test"}


@dataclass(frozen=True)
class ToyCrops:
    """The toy world's captioned crops; scenes that they are cut from."""

    train: int
    test: int
    seed: int


@dataclass(frozen=True)
class Settings:
    """What a `data` node depends on besides files; the number of processes changes nothing."""

    source: DataSet | ToyCrops
    processes: int = free(0)


def run(job: Job) -> None:
    source = job.settings["data"].source
    if isinstance(source, ToyCrops):
        _make_crops(job, source)
    elif isinstance(source, ToySet):
        _make_toy_set(job, source)
    else:
        _index_folder(job, source)


# --- sets in folders ---------------------------------------------------------------------------


def _index_folder(job: Job, source: TrainingSet) -> None:
    from unidet.data.images import FolderImages, check_images
    from unidet.data.readers import split_of
    from unidet.formats.annotations import read_annotations, sentences
    from unidet.formats.ground_truth import ground_truth_of

    annotations, images = job.files["annotations"], job.files["images"]
    read = read_annotations(annotations, limit=source.limit)
    split, report = split_of(read, images, name=job.name)
    lines = report.lines()
    if isinstance(source, EvaluationSet):
        truth = ground_truth_of(read)
        if source.style == "lvis" and truth.negatives is None:
            raise UserError(
                f"{annotations}: style lvis evaluates where names are known to be absent, but its "
                "images have no neg_category_ids; give the set style=coco, or LVIS's file"
            )
        notes = [f"  note: {note}" for note in truth.notes]
        lines += [note for note in notes if note not in lines]
        _save_ground_truth(read, source.limit, job.out / GROUND_TRUTH)
    progress = job.progress(f"decoding {job.name}")
    pictures = FolderImages(images, split.file_names)
    remarks = check_images(pictures, split, progress=progress.update)
    progress.close()
    lines += [f"  note: {remark}" for remark in sentences(remarks)]
    for line in lines:
        say("  " + line.replace(str(annotations), source.annotations).replace(f"{images}/", ""))
    save_image_set(split, _file_digests(job, images, split.file_names), job.out)
    # The key knows files by content: the same content elsewhere has the same report.
    facts = {name: value for name, value in report.as_dict().items() if name != "source"}
    (job.out / "report.json").write_text(json.dumps(facts, indent=1))


def _save_ground_truth(read: Annotations, limit: int, path: Path) -> None:
    """As it is, masks included, or its first images where the set is limited."""
    from unidet.formats.tables import read_records

    if limit:
        rows = {"images": read.images.positions, "annotations": read.boxes.positions}
        path.write_text(json.dumps(read_records(read.file, rows)), encoding="utf-8")
    else:
        shutil.copyfile(read.file, path)


def _file_digests(job: Job, images: Path, names: Sequence[str]) -> np.ndarray:
    """(N, 32) uint8 sha256 of the image files."""
    import numpy as np

    known = job.digests_in(images)
    joined = b"".join(bytes.fromhex(known[name]) for name in names)
    return np.frombuffer(joined, np.uint8).reshape(len(names), 32)


# --- the toy world -----------------------------------------------------------------------------


def _make_toy_set(job: Job, source: ToySet) -> None:
    import numpy as np

    from unidet.data.toy.new_words import in_new_words, rewrite_ground_truth
    from unidet.data.toy.world import make_split

    progress = job.progress(f"toy world {source.split}")
    in_words = source.split.endswith("_new")
    # The scenes of `new` are a split of their own; `val` and `dev` are the same in both words.
    scenes = source.split if source.split.startswith("train") else source.split.removesuffix("_new")
    split = make_split(
        scenes,
        job.out,
        scenes=source.scenes,
        seed=source.seed,
        processes=job.settings["data"].processes,
        progress=progress.update,
    )
    progress.close()
    if in_words:
        split = in_new_words(split)
        for file in job.out.glob("ground_truth*.json"):
            rewrite_ground_truth(file)
    pixels = np.load(job.out / PACKED, mmap_mode="r")
    digests = b"".join(hashlib.sha256(image).digest() for image in pixels)
    save_image_set(split, np.frombuffer(digests, np.uint8).reshape(-1, 32), job.out)


def _make_crops(job: Job, source: ToyCrops) -> None:
    from unidet.data.toy.crops import make_crops

    for name, split in CROP_SPLITS.items():
        (job.out / name).mkdir()
        progress = job.progress(f"toy world {split}")
        make_crops(
            split,
            job.out / name,
            scenes=getattr(source, name),
            seed=source.seed,
            processes=job.settings["data"].processes,
            progress=progress.update,
        )
        progress.close()


# --- the stage ---------------------------------------------------------------------------------


def nodes(config: Config) -> tuple[str, ...]:
    crops = (CROPS,) if isinstance(config.data, ToyData) else ()
    # A set in folders may be refused: that is told before the toy world is drawn.
    sets = all_sets(config)
    ordered = sorted(sets, key=lambda name: isinstance(sets[name], ToySet))
    return (*ordered, *crops)


def settings(config: Config, name: str) -> dict[str, Settings]:
    return {"data": Settings(_source(config, name), getattr(config.data, "processes", 0))}


def _source(config: Config, name: str) -> DataSet | ToyCrops:
    data = config.data
    if isinstance(data, ToyData) and name == CROPS:
        return ToyCrops(data.clip_scenes, data.clip_test_scenes, config.seed)
    return all_sets(config)[name]


def files(config: Config, name: str) -> dict[str, Path]:
    """Annotation file and image folder enter the key by content."""
    entry = _source(config, name)
    if not isinstance(entry, TrainingSet):
        return {}
    root = _root(config)
    return {
        "annotations": _existing(root, entry.annotations),
        "images": _existing(root, entry.images),
    }


def _root(config: Config) -> Path:
    if not config.data.root and not isinstance(config.data, ToyData):
        raise UserError(
            "data.root: this experiment reads real data; give its folder: data.root=FOLDER"
        )
    root = Path(config.data.root)
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


STAGE = Stage(
    name="data",
    version=2,
    reads=(),
    run=run,
    nodes=nodes,
    settings=settings,
    files=files,
    tensors=False,
)
