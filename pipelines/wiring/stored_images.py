"""A `rehearsal` artefact: old images as feature maps, with their boxes and proposals.

maps/00000.npy   (C, h, w) float16 of each image, in the order of the index
index.npz        offsets and columns of boxes, labels, proposals, in pixels of the network's input
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.store.arrays import load_array, load_arrays, malformed, save_arrays

if TYPE_CHECKING:
    import numpy as np

    from unidet.models.stored_images import StoredImages
    from unidet.records import Batch

MAPS, INDEX = "maps", "index.npz"
_KINDS = {
    "box_offsets": ("i", (None,)),
    "boxes": ("f", (None, 4)),
    "labels": ("i", (None,)),
    "proposal_offsets": ("i", (None,)),
    "proposals": ("f", (None, 5)),
}
_PARTS = {"boxes": "box_offsets", "labels": "box_offsets", "proposals": "proposal_offsets"}


class StoredImagesWriter:
    """Writes an artefact batch by batch, then its index."""

    def __init__(self, folder: Path) -> None:
        (folder / MAPS).mkdir()
        self._folder = folder
        self._boxes: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._proposals: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, batch: Batch, maps_NCHW: np.ndarray) -> None:
        import numpy as np

        assert batch.proposals is not None  # a RoI head learns from them
        images = zip(maps_NCHW, batch.boxes, batch.labels, batch.proposals, strict=True)
        for feats, boxes, labels, proposals in images:
            np.save(_map_file(self._folder, len(self)), feats.astype(np.float16))
            self._boxes.append(boxes)
            self._labels.append(labels)
            self._proposals.append(proposals)

    def close(self) -> None:
        import numpy as np

        arrays = {
            "box_offsets": _offsets(self._boxes),
            "proposal_offsets": _offsets(self._proposals),
            "boxes": np.concatenate([np.zeros((0, 4), np.float32), *self._boxes]),
            "labels": np.concatenate([np.zeros(0, np.int32), *self._labels]),
            "proposals": np.concatenate([np.zeros((0, 5), np.float32), *self._proposals]),
        }
        save_arrays(self._folder / INDEX, arrays)


def read_stored_images(
    folders: Sequence[tuple[Path, int]], channels: int, names: Sequence[int]
) -> StoredImages:
    """The images of several artefacts, each with its dataset id; maps stay on disk until read.

    Args:
        channels: of a map.
        names: how many each dataset has.

    Raises:
        Malformed: a file is not what `StoredImagesWriter` leaves of such images.
    """
    import numpy as np

    from unidet.models.stored_images import StoredImages

    maps: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    proposals: list[np.ndarray] = []
    dataset_ids: list[int] = []
    for folder, dataset in folders:
        arrays = load_arrays(folder / INDEX, _KINDS)
        _check(folder / INDEX, arrays, names[dataset])
        boxes += _parts(arrays["boxes"], arrays["box_offsets"])
        labels += _parts(arrays["labels"], arrays["box_offsets"])
        proposals += _parts(arrays["proposals"], arrays["proposal_offsets"])
        count = len(arrays["box_offsets"]) - 1
        maps += [_map(folder, row, channels) for row in range(count)]
        dataset_ids += [dataset] * count
    return StoredImages(maps, boxes, labels, proposals, np.array(dataset_ids, np.int32))


def _check(path: Path, arrays: Mapping[str, np.ndarray], names: int) -> None:
    """Whether the columns belong to the same images, and are numbers that training can take."""
    import numpy as np

    if len(arrays["box_offsets"]) != len(arrays["proposal_offsets"]):
        malformed(path, "boxes and proposals of different images")
    for column, by in _PARTS.items():
        offsets = arrays[by].tolist()
        if offsets[:1] != [0] or offsets != sorted(offsets) or offsets[-1] != len(arrays[column]):
            malformed(path, f"{by} do not ascend from 0 to the {len(arrays[column])} {column}")
        if not np.isfinite(arrays[column]).all():
            malformed(path, f"{column} are not finite")
    labels = arrays["labels"]
    if len(labels) and not 0 <= labels.min() <= labels.max() < names:
        malformed(path, f"labels that are not among {names} names")


def _map(folder: Path, row: int, channels: int) -> np.ndarray:
    """(C, h, w), read from the disk when it is looked at."""
    path = _map_file(folder, row)
    feats = load_array(path, "f", (channels, None, None), mapped=True)
    if not feats.size:
        malformed(path, f"a map of shape {feats.shape}")
    return feats


def _map_file(folder: Path, row: int) -> Path:
    return folder / MAPS / f"{row:05d}.npy"


def _parts(column: np.ndarray, offsets: np.ndarray) -> list[np.ndarray]:
    return [column[first:last] for first, last in pairwise(offsets.tolist())]


def _offsets(parts: Sequence[np.ndarray]) -> np.ndarray:
    import numpy as np

    return np.cumsum([0, *map(len, parts)]).astype(np.int64)
