"""Time and peak memory of reading annotations and proposals as large as those of Objects365 v2.

    python benchmarks/scale.py FOLDER [objects365_half objects365 lvis proposals]

Synthetic files of that size are written to FOLDER (up to 5 GB at a time) and deleted afterwards.
Each is read in its own process.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from unidet.data.index import load_split, save_split
from unidet.data.readers import split_of
from unidet.formats.annotations import read_annotations
from unidet.pipelines.engine.shards import Sharded
from unidet.pipelines.wiring.read_proposals import best_proposals
from unidet.store.arrays import save_arrays

RECORDS_AT_ONCE = 65_536
IMAGE = (
    '{"height": 480, "width": 640, "license": 5, "file_name": '
    '"images/v1/patch%d/objects365_v1_%08d.jpg", "id": %d}'
)
BOX = (
    '{"id": %d, "image_id": %d, "category_id": %d, "bbox": [%r, %r, %r, %r], "area": %.6f, '
    '"iscrowd": 0, %s}'
)
SIZES = {  # images, boxes, categories, coordinates of a segmentation polygon
    "objects365_half": (850_000, 12_500_000, 365, 0),
    "objects365": (1_700_000, 25_000_000, 365, 0),
    "lvis": (100_170, 1_270_141, 1203, 56),  # LVIS v1's training set with its mean polygon
}
PROPOSALS = 1_700_000, 100, 256
"""Images, proposals per image, images per shard."""
READ = 20_000  # images whose proposals are read, in random order
TEXT, INDEX = "annotations.json", "index.npz"


def write_annotations(path: Path, images: int, boxes: int, categories: int, outline: int) -> None:
    """Write a file with the fields of Objects365, or of LVIS where boxes have polygons."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write('{"images": [')
        file.write(", ".join(IMAGE % (row % 51, row, row + 1) for row in range(images)))
        file.write('], "categories": [')
        names = ({"id": row + 1, "name": f"name {row}"} for row in range(categories))
        file.write(", ".join(map(json.dumps, names)))
        file.write('], "annotations": [')
        for start in range(0, boxes, RECORDS_AT_ONCE):
            rows = np.arange(start, min(start + RECORDS_AT_ONCE, boxes))
            # a block of boxes belongs to consecutive images, in shuffled order
            owners = (start + (rows - start) * 7919 % len(rows)) * images // boxes
            file.write((", " if start else "") + _records(rng, rows, owners, categories, outline))
        file.write("]}")


def _records(
    rng: np.random.Generator, rows: np.ndarray, owners: np.ndarray, categories: int, outline: int
) -> str:
    left, top, width, height = np.round(rng.uniform(2, 240, (4, len(rows))), 6).tolist()
    labels = rng.integers(1, categories + 1, len(rows)).tolist()
    outlines = np.round(rng.uniform(0, 300, (97, outline)), 2).tolist()
    area = (np.array(width) * height).tolist()
    more = [f'"segmentation": [{text}]' if text else '"isfake": 0' for text in outlines]
    columns = (
        *((rows + 1).tolist(), (owners + 1).tolist(), labels, left, top, width, height, area),
        islice(cycle(more), len(rows)),
    )
    return ", ".join(BOX % record for record in zip(*columns, strict=True))


def index(folder: Path) -> str:
    """Read the annotations and write the index."""
    split, _ = split_of(read_annotations(folder / TEXT), None, name=folder.name)
    save_split(split, folder / INDEX)
    return f"{len(split)} images, {len(split.labels)} boxes"


def open_index(folder: Path) -> str:
    """Open the index and read the boxes of every thousandth image."""
    split = load_split(folder / INDEX, folder.name)
    rows = range(0, len(split), 1000)
    boxes = sum(len(split.boxes_of(row)[0]) for row in rows)
    return f"{boxes} boxes of {len(rows)} images"


STEPS: dict[str, Callable[[Path], str]] = {"index": index, "open": open_index}


def write_proposals(folder: Path) -> None:
    images, count, per_shard = PROPOSALS
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 600, (per_shard * count, 4)).astype(np.float32)
    for number, first in enumerate(range(0, images, per_shard)):
        rows = np.arange(first, min(first + per_shard, images))
        arrays = {
            "rows": rows,
            "digests": rng.integers(0, 256, (len(rows), 32), dtype=np.uint8),
            "offsets": np.arange(len(rows) + 1) * count,
            "boxes_xyxy": boxes[: len(rows) * count],
            "scores": boxes[: len(rows) * count, 0] / 600,
        }
        save_arrays(folder / f"shard-{number:05d}.npz", arrays)


def read_proposals(folder: Path) -> str:
    """Read proposals of images in random order, as training does."""
    dumped = Sharded(folder)
    rows = np.random.default_rng(1).integers(0, len(dumped), READ)
    total = sum(len(best_proposals(dumped, row, PROPOSALS[1])) for row in rows.tolist())
    return f"{total} proposals of {READ} of {len(dumped)} images"


def measured(what: Callable[[Path], str], place: Path) -> tuple[float, float, str]:
    """CPU seconds, peak GiB and the returned text of `what`, run in its own process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (what, place))


def _measured(what: Callable[[Path], str], place: Path) -> tuple[float, float, str]:
    start = time.process_time()
    text = what(place)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return time.process_time() - start, peak, text


def main(folder: Path, names: list[str]) -> None:
    print("| what | on disk | CPU time | peak memory | |\n|---|---|---|---|---|")
    for name in names:
        place = folder / name
        place.mkdir(parents=True)
        steps = STEPS
        if name == "proposals":
            write_proposals(place)
            steps = {"read": read_proposals}
        else:
            write_annotations(place / TEXT, *SIZES[name])
        size = sum(file.stat().st_size for file in place.iterdir()) / 1e9
        for label, step in steps.items():
            seconds, peak, text = measured(step, place)
            print(f"| {label} {name} | {size:.2f} GB | {seconds:.1f} s | {peak:.2f} GiB | {text} |")
        shutil.rmtree(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or [*SIZES, "proposals"])
