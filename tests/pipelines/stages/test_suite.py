"""ODinW13 on three stand-ins, laid out as published: each set's AP, their mean, and recall."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studies import bare_job, built

from unidet.config.compose import compose
from unidet.config.study import Config
from unidet.formats.ground_truth import read_ground_truth
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pipelines.engine.shards import SHARDS, Columns, Sharded, ShardSet
from unidet.pipelines.stages import lvis_eval, proposals
from unidet.pipelines.wiring.embedding_artefacts import CLASSIFIER, EMBEDDINGS
from unidet.pipelines.wiring.image_sets import image_set_at
from unidet.pipelines.wiring.metrics_table import lvis_table, read_metrics, recall_table
from unidet.pipelines.wiring.study_sets import images_folder

STAND_INS = {"PascalVOC": ["cat", "dog"], "Pothole": ["pothole"], "Thermal": ["dog", "person"]}
BOX, OTHER = [4.0, 4.0, 20.0, 12.0], [30.0, 30.0, 8.0, 8.0]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The suite's three sets, of one image with a box of each name."""
    root = tmp_path_factory.mktemp("data")
    suite = compose(["experiment=bench", "suite=odinw13"]).data.evaluation
    for name, names in STAND_INS.items():
        annotations, images = root / suite[name].annotations, root / suite[name].images
        images.mkdir(parents=True)
        Image.new("RGB", (48, 48), (len(name), 0, 0)).save(images / "a.jpg")
        boxes = [BOX, OTHER][: len(names)]
        document = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 48, "height": 48}],
            "categories": [{"id": i, "name": text} for i, text in enumerate(names, 1)],
            "annotations": [
                {"id": i, "image_id": 1, "category_id": i, "bbox": box, "area": box[2] * box[3],
                 "iscrowd": 0}
                for i, box in enumerate(boxes, 1)
            ],
        }  # fmt: skip
        annotations.write_text(json.dumps(document))
    return compose(
        [
            *("experiment=bench", "suite=odinw13", f"data.root={root}"),
            f"store.root={root / 'store'}",
        ]
    )


def shards(folder: Path, columns: Mapping[str, np.ndarray]) -> Sharded:
    """Those of one image."""

    class Silent:
        def update(self, done: int, total: int, note: str = "") -> None: ...

    def results(rows: object) -> list[tuple[int, Columns]]:
        return [(0, columns)]

    one = ShardSet(SHARDS, images=1, per_shard=1)
    one.fill(folder / "work", results, lambda row: bytes(32), Silent())  # type: ignore[arg-type]
    return Sharded(one.gather(folder / "work", folder))


def test_each_set_is_evaluated_and_so_is_the_mean(config: Config, tmp_path: Path) -> None:
    """Every box is found under its name, but PascalVOC's dog, which is called a cat: as a dog the
    cat's box ranks before it, AP 1/2."""
    metrics, recalls = {}, {}
    for name, names in STAND_INS.items():
        (data,) = built(replace(config, stage=f"data:{name}")).values()
        folder = tmp_path / name
        boxes = xywh_to_xyxy(np.array([BOX, OTHER][: len(names)])).astype(np.float32)
        vectors = np.eye(4)[: len(names)]
        said = vectors[[0, 0]] if name == "PascalVOC" else vectors
        scores = np.linspace(0.9, 0.8, len(names)).astype(np.float32)
        shards(
            folder,
            {
                "boxes_xyxy": boxes,
                "proposal_scores": scores,
                "embeddings": said.astype(np.float16),
            },
        )
        (folder / CLASSIFIER).write_text('{"scale": 20, "bias": -10}')
        np.savez(folder / EMBEDDINGS, embeddings=vectors, names=np.array(names))
        inputs = {"data": data.folder, "clip_embeddings": folder, "lvis_raw": folder}
        job = bare_job(
            folder / "out",
            name=name,
            config=config,
            settings={"data": {"style": "coco"}},
            inputs=inputs,
            images={"data": images_folder(config, name)},
        )
        job.out.mkdir()
        lvis_eval.run(job)
        metrics[name] = read_metrics(job.out)
        split = image_set_at(data.folder, None, name).split
        dumped = shards(tmp_path / f"{name}-proposals", {"boxes_xyxy": boxes, "scores": scores})
        truth = read_ground_truth(data.folder / "ground_truth.json")
        recalls[name] = proposals.recall_of(truth, split.image_ids, dumped)
    assert [metrics[name]["AP"] for name in STAND_INS] == pytest.approx([0.75, 1, 1])
    mean = lvis_table(metrics).splitlines()[4].split()
    assert mean[:4] == ["mean", "of", "3", "0.917"]
    assert recall_table(recalls).splitlines()[-1].split()[-5:] == ["1.000"] * 5
