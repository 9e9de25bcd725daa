"""Files of artefacts whose checksums are right and whose content no stage writes: one line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.data.index import load_split, save_split
from unidet.errors import Malformed
from unidet.pipelines.engine.shards import Sharded
from unidet.pipelines.proposers.outputs import CATEGORIES, known_outputs
from unidet.pipelines.wiring.embedding_artefacts import CLASSIFIER, read_classifier
from unidet.pipelines.wiring.image_sets import VOCABULARY, read_vocabulary
from unidet.pipelines.wiring.learned_names import save_learned_names, with_learned_names
from unidet.pipelines.wiring.metrics_table import read_metrics
from unidet.pipelines.wiring.stored_images import INDEX, MAPS, read_stored_images
from unidet.records import Category, Split
from unidet.store.arrays import map_arrays, save_arrays

READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    CLASSIFIER: (read_classifier, '{"scale": 10.0, "bias": -4}'),
    "metrics.json": (read_metrics, '{"AP": 0.5, "ECE": NaN, "images": 40}'),
    VOCABULARY: (read_vocabulary, '[{"id": 3, "name": "cat", "synonyms": ["kitty"]}]'),
    CATEGORIES: (known_outputs, '[null, {"id": 1, "name": "cat"}]'),
}
NO_JSON = ("", '{"a":', "\udcff", "5", '"x"', "null", "[" * 9000, "9" * 5000, '["a"]')
WRONG = {
    CLASSIFIER: ("{}", '{"scale": 1}', '{"scale": null, "bias": 0}', '{"scale": 1e400, "bias": 0}'),
    "metrics.json": ('{"AP": "high"}', '{"AP": [1]}', '{"AP": true}', f'{{"AP": 1{"0" * 400}}}'),
    VOCABULARY: (
        '[{"name": "cat", "synonyms": []}]',
        '[{"id": "1", "name": "cat", "synonyms": []}]',
        '[{"id": 1e30, "name": "cat", "synonyms": []}]',
        '[{"id": 1, "name": 5, "synonyms": []}]',
        '[{"id": 1, "name": "cat", "synonyms": [7]}]',
    ),
    CATEGORIES: ('[{"id": 1}]', f'[{{"id": {2**63}, "name": "cat"}}]', '[{"id": 1, "name": []}]'),
}


@pytest.mark.parametrize("name", READERS)
def test_json_that_no_stage_writes(tmp_path: Path, name: str) -> None:
    reader, right = READERS[name]
    file = tmp_path / name
    file.write_text(right)
    assert reader(tmp_path)
    for text in (*NO_JSON, *WRONG[name]):
        file.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(Malformed, match=name) as refused:
            reader(tmp_path)
        assert "\n" not in str(refused.value)


def test_a_metric_that_is_not_there_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"AP": 0.5}))
    with pytest.raises(Malformed, match=r"metrics\.json.*there is no AR@100"):
        read_metrics(tmp_path)["AR@100"]


# --- arrays --------------------------------------------------------------------------------------

SPLIT = Split(
    name="val",
    image_ids=np.array([3, 5]),
    file_names=("a.png", "b.png"),
    widths=np.array([8, 8]),
    heights=np.array([9, 9]),
    box_image=np.array([0, 1]),
    boxes_xyxy=np.ones((2, 4)),
    labels=np.array([0, 1]),
    is_crowd=np.zeros(2, bool),
    categories=(Category(1, "cat"), Category(2, "dog")),
)
OF_SPLITS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "too many names": lambda texts: {**texts, "file_names": [*texts["file_names"], "x"]},
    "names that are none": lambda texts: {**texts, "file_names": [1] * len(texts["file_names"])},
    "no categories": lambda texts: {**texts, "categories": []},
    "categories of text": lambda texts: {**texts, "categories": "abc"},
    "another field": lambda texts: {
        **texts,
        "categories": [{**texts["categories"][0], "colour": 3}, *texts["categories"][1:]],
    },
}


@pytest.mark.parametrize("name", OF_SPLITS)
def test_texts_of_an_index(tmp_path: Path, name: str) -> None:
    path = tmp_path / "index.npz"
    save_split(SPLIT, path)
    arrays = {key: array.copy() for key, array in map_arrays(path).items()}
    texts = OF_SPLITS[name](json.loads(arrays["texts"].tobytes()))
    arrays["texts"] = np.frombuffer(json.dumps(texts).encode(), np.uint8)
    save_arrays(path, arrays)
    with pytest.raises(Malformed, match=r"index\.npz"):
        load_split(path, "val")


@pytest.mark.parametrize(
    ("column", "changed"),
    [
        ("labels", lambda rows: rows + 1000),
        ("labels", lambda rows: rows - 1000),
        ("box_image", lambda rows: rows[::-1]),
    ],
    ids=["large", "negative", "order"],
)
def test_columns_of_an_index(
    tmp_path: Path, column: str, changed: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = tmp_path / "index.npz"
    save_split(SPLIT, path)
    arrays = {key: array.copy() for key, array in map_arrays(path).items()}
    save_arrays(path, {**arrays, column: changed(arrays[column])})
    with pytest.raises(Malformed, match=r"index\.npz"):
        load_split(path, "val")


@pytest.mark.parametrize(
    ("rows", "scores"),
    [([0, 0], [0.5, 0.5]), ([1, 2], [0.5, 0.5]), ([0, 1], [0.5, np.nan])],
    ids=["twice", "gap", "nan"],
)
def test_shards(tmp_path: Path, rows: list[int], scores: list[float]) -> None:
    arrays = {
        "rows": np.array(rows, np.int64),
        "digests": np.zeros((2, 32), np.uint8),
        "offsets": np.arange(3),
        "scores": np.array(scores, np.float32),
    }
    save_arrays(tmp_path / "shard-00000.npz", arrays)
    with pytest.raises(Malformed, match=tmp_path.name):
        Sharded(tmp_path).of(1)


def test_learned_names_of_other_dimensions(tmp_path: Path) -> None:
    save_learned_names(tmp_path, {"cat": np.ones(3, np.float32)})
    with pytest.raises(Malformed, match=r"names\.npz.*3 dimensions, where the names have 4"):
        with_learned_names(np.ones((1, 4), np.float32), ["cat"], tmp_path)


STORED = {
    "box_offsets": np.array([0, 1, 2]),
    "boxes": np.ones((2, 4), np.float32),
    "labels": np.array([0, 2], np.int32),
    "proposal_offsets": np.array([0, 2, 3]),
    "proposals": np.ones((3, 5), np.float32),
}
FEATS = np.zeros((8, 3, 4), np.float16)
FORGED: dict[str, dict[str, np.ndarray]] = {
    "label 3 of 3 names": {"labels": np.array([0, 3], np.int32)},
    "negative label": {"labels": np.array([-1, 0], np.int32)},
    "offsets beyond the end": {"box_offsets": np.array([0, 1, 5])},
    "offsets that descend": {"proposal_offsets": np.array([0, 4, 3])},
    "other images": {"box_offsets": np.array([0, 2])},
    "no offsets": {"box_offsets": np.zeros(0, np.int64), "proposal_offsets": np.zeros(0, np.int64)},
    "nan": {"boxes": np.full((2, 4), np.nan, np.float32)},
}


def stored(folder: Path, arrays: dict[str, np.ndarray], feats: np.ndarray | bytes) -> Path:
    (folder / MAPS).mkdir()
    save_arrays(folder / INDEX, arrays)
    np.save(folder / MAPS / "00000.npy", FEATS)
    if isinstance(feats, bytes):
        (folder / MAPS / "00001.npy").write_bytes(feats)
    else:
        np.save(folder / MAPS / "00001.npy", feats)
    return folder


def test_stored_images(tmp_path: Path) -> None:
    images = read_stored_images([(stored(tmp_path, STORED, FEATS), 0)], channels=8, names=[3])
    assert [part.shape for part in images.proposals] == [(2, 5), (1, 5)]


@pytest.mark.parametrize("name", FORGED)
def test_an_index_of_stored_images(tmp_path: Path, name: str) -> None:
    folder = stored(tmp_path, {**STORED, **FORGED[name]}, FEATS)
    with pytest.raises(Malformed, match=INDEX):
        read_stored_images([(folder, 0)], channels=8, names=[3])


@pytest.mark.parametrize(
    "feats",
    [
        b"",
        b"\x93NUMPY\x01\x00\x02\x00{}",
        FEATS[0],
        FEATS[:4],
        FEATS[:, :0],
        FEATS.astype(np.complex64),
        np.array(["a"]),
    ],
    ids=["empty", "header", "flat", "channels", "no rows", "complex", "text"],
)
def test_a_map_of_stored_images(tmp_path: Path, feats: np.ndarray | bytes) -> None:
    with pytest.raises(Malformed, match=r"00001\.npy"):
        read_stored_images([(stored(tmp_path, STORED, feats), 0)], channels=8, names=[3])
