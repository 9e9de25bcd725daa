"""The toy world's part of stage `data`: two training datasets, val and dev, crops for CLIP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unidet.config.data import ToyData
from unidet.data.toy.crops import make_crops
from unidet.data.toy.world import make_split
from unidet.pipelines.engine.stage import Job

TRAINING = {"a": "train_a", "b": "train_b"}
EVALUATION = ("val", "dev")


def make_toy_data(job: Job) -> None:
    """Make every split under the names that `datasets` knows."""
    data: ToyData = job.config.data
    for name, split in TRAINING.items():
        _make(job, make_split, split, job.out / "training" / name, data.train_scenes)
    for name in EVALUATION:
        folder = job.out / "images" / name
        scenes = data.val_scenes if name == "val" else data.dev_scenes
        _make(job, make_split, name, folder, scenes)
        _judge(folder, job.out / "evaluation" / name, scenes)
    crops = job.out / "clip"
    _make(job, make_crops, "clip_train", crops / "train", data.clip_scenes)
    _make(job, make_crops, "clip_test", crops / "test", data.clip_test_scenes)
    manifest = {
        "training": [{"name": name, "vocabulary": f"toy_{name}"} for name in TRAINING],
        "images": [{"name": name} for name in EVALUATION],
        "evaluation": [
            {"name": name, "style": "lvis", "vocabulary": "toy_val", "image_set": name}
            for name in EVALUATION
        ],
    }
    (job.out / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _make(job: Job, make: Callable[..., object], name: str, folder: Path, scenes: int) -> None:
    folder.mkdir(parents=True)
    progress = job.progress(f"toy world {name}")
    make(
        name,
        folder,
        scenes=scenes,
        seed=job.config.seed,
        processes=job.config.data.processes,
        progress=progress.update,
    )
    progress.close()


def _judge(images: Path, folder: Path, scenes: int) -> None:
    """What is judged lies apart from the images that networks run over."""
    folder.mkdir(parents=True)
    shutil.copyfile(images / "index.npz", folder / "index.npz")
    for file in ("ground_truth.json", "ground_truth_exhaustive.json"):
        (images / file).rename(folder / file)
    np.save(folder / "rows.npy", np.arange(scenes))
