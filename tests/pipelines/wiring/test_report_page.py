"""The report from artefacts made by hand: a closed-set study, and a mixture of styles."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from reports import evaluated
from studies import bare_job

from unidet.config.compose import compose
from unidet.evaluation.coco import evaluate_coco
from unidet.evaluation.lvis import evaluate_lvis
from unidet.evaluation.naming import ImageScores
from unidet.evaluation.per_category import per_category_table
from unidet.formats.results import write_results
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.pipelines.engine.graph import needed
from unidet.pipelines.engine.shards import SHARDS, ShardSet
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.stages import report
from unidet.pipelines.wiring import report_galleries
from unidet.pipelines.wiring.image_sets import GROUND_TRUTH, PACKED, save_image_set
from unidet.pipelines.wiring.per_category import save_per_category
from unidet.pipelines.wiring.report_page import trained_on, write_report
from unidet.records import Category, Split
from unidet.report.figures import Evaluated
from unidet.report.study import load_study

NAMES = ("cat", "<b>dog</b>", "fox", "owl")


class Silent:
    def update(self, done: int, total: int, note: str = "") -> None: ...
    def close(self) -> None: ...


def data_artefact(folder: Path, made: Evaluated, names: tuple[str, ...] = NAMES) -> Path:
    """Noise of 100 x 100 pixels under the boxes."""
    truth, count = made.truth, len(made.truth.image_ids)
    folder.mkdir()
    split = Split(
        name="",
        image_ids=truth.image_ids,
        file_names=("",) * count,
        widths=np.full(count, 100),
        heights=np.full(count, 100),
        box_image=truth.image_rows,
        boxes_xyxy=xywh_to_xyxy(truth.boxes_xywh).astype(np.float32),
        labels=truth.category_rows,
        is_crowd=truth.is_crowd,
        categories=tuple(Category(row + 1, name) for row, name in enumerate(names)),
    )
    save_image_set(split, np.zeros((count, 32), np.uint8), folder)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 100, 100, 3), np.uint8)
    np.save(folder / PACKED, pixels)
    (folder / GROUND_TRUTH).write_text(json.dumps(document(made)))
    return folder


def document(made: Evaluated) -> dict[str, Any]:
    truth = made.truth
    images: list[dict[str, Any]] = [
        {"id": int(number), "width": 100, "height": 100} for number in truth.image_ids
    ]
    if truth.negatives is not None:
        for image, row in zip(images, truth.negatives, strict=True):
            image["neg_category_ids"] = (np.flatnonzero(row) + 1).tolist()
            image["not_exhaustive_category_ids"] = []
    annotations = [
        {
            "id": int(truth.annotation_ids[row]),
            "image_id": int(truth.image_ids[truth.image_rows[row]]),
            "category_id": int(truth.category_rows[row]) + 1,
            "bbox": truth.boxes_xywh[row].tolist(),
            "area": float(truth.areas[row]),
            "iscrowd": 0,
        }
        for row in range(len(truth.areas))
    ]
    categories = [
        {"id": row + 1, "name": name}
        | ({"frequency": "rcf"[row % 3]} if made.style == "lvis" else {})
        for row, name in enumerate(truth.category_names)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def evaluation_artefact(folder: Path, made: Evaluated) -> Path:
    folder.mkdir()
    evaluate = evaluate_lvis if made.style == "lvis" else evaluate_coco
    evaluation = evaluate(made.truth, made.detections, made.novel)  # type: ignore[operator]
    save_per_category(per_category_table(made.truth, evaluation), folder)
    write_results(folder / "detections.json", made.detections)
    (folder / "metrics.json").write_text(json.dumps(evaluation.metrics()))
    return folder


def proposals_artefact(folder: Path, made: Evaluated) -> Path:
    folder.mkdir()
    boxes = xywh_to_xyxy(made.truth.boxes_xywh).reshape(-1, 3, 4)
    shards = ShardSet(SHARDS, len(boxes), 100)
    shards.fill(
        folder,
        lambda rows: ((row, {"boxes_xyxy": boxes[row], "scores": np.ones(3)}) for row in rows),
        lambda row: bytes(32),
        Silent(),  # type: ignore[arg-type]
    )
    shards.gather(folder, folder)
    keys = [f"AR{size}@{cap}" for size in ("", "s", "m", "l") for cap in (10, 100, 300, 1000)]
    (folder / "metrics.json").write_text(json.dumps(dict.fromkeys(keys, 0.5) | {"ARl@10": -1}))
    return folder


def job(folder: Path, inputs: dict[str, Path], styles: list[list[str]], **settings: Any) -> Job:
    out = folder / "out"
    out.mkdir()
    return bare_job(
        out,
        config=SimpleNamespace(report=SimpleNamespace(examples=2)),
        settings={"data": {"training": ["training/a"], "evaluation": styles}, **settings},
        inputs=inputs,
        progress=lambda label: Silent(),
    )


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """Its names are cat and owl, so the other two are novel elsewhere."""
    made = evaluated(("cat", "owl"), style="coco")
    folder = data_artefact(tmp_path / "data-0123456789aa", made, ("cat", "owl"))
    (folder / GROUND_TRUTH).unlink()
    return folder


def test_a_closed_set_study(tmp_path: Path, training: Path) -> None:
    made = evaluated(NAMES, style="coco", closed=True)
    inputs = {
        "data[training/a]": training,
        "data[val]": data_artefact(tmp_path / "data-0123456789ab", made),
        "coco_eval[val]": evaluation_artefact(tmp_path / "coco_eval-0123456789ac", made),
        "rpn": tmp_path,
    }
    write_report(job(tmp_path, inputs, [["val", "coco"]]))
    study = load_study(tmp_path / "out" / "study.json")
    (figures,) = study.sets
    assert figures.closed
    assert figures.categories[0].novel is None
    assert [recall.name for recall in study.recalls] == ["val"]
    assert study.inputs["data[val]"] == "0123456789ab"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b>dog</b>" not in page
    assert page.count('<figure class="pair">') > 4
    summary = (tmp_path / "out" / "summary.txt").read_text().splitlines()
    assert summary[1].startswith("val ")
    count = len(made.truth.image_ids)  # whose content is the same in both sets, zeros
    start = f"note: {count} of the {count} images of val are trained on, which flatters"
    assert summary[-1].startswith(start)


def test_sets_of_other_images_share_none(tmp_path: Path, training: Path) -> None:
    made = evaluated(NAMES, style="coco", closed=True)
    data = data_artefact(tmp_path / "data-0123456789ab", made)
    digests = np.load(data / "digests.npy")
    inputs = {"data[training/a]": training, "data[val]": data}
    reported = job(tmp_path, inputs, [["val", "coco"]])
    for row, said in ((slice(0, 0), f"note: {len(digests)} of"), (slice(1, None), "note: 1 of")):
        digests[row] = 1 + np.arange(len(digests[row]))[:, None]
        np.save(data / "digests.npy", digests)
        (line,) = trained_on(reported)
        assert line.startswith(said)
    np.save(data / "digests.npy", digests + 100)
    assert not [*trained_on(reported)]


def test_a_mixture_of_styles_is_the_same_bytes_twice(tmp_path: Path, training: Path) -> None:
    first, second = evaluated(NAMES), evaluated(NAMES, style="coco", seed=1)
    inputs = {
        "data[training/a]": training,
        "data[val]": data_artefact(tmp_path / "data-0123456789ab", first),
        "data[own]": data_artefact(tmp_path / "data-0123456789ac", second),
        "proposals[val]": proposals_artefact(tmp_path / "proposals-0123456789ab", first),
        "proposals[own]": proposals_artefact(tmp_path / "proposals-0123456789ac", second),
        "lvis_eval[val]": evaluation_artefact(tmp_path / "lvis_eval-0123456789ab", first),
        "lvis_eval[own]": evaluation_artefact(tmp_path / "lvis_eval-0123456789ac", second),
        "roi": tmp_path,
    }
    styles, calibration = [["val", "lvis"], ["own", "coco"]], {"beta": 0.4, "gamma": 0.0}
    made = job(tmp_path, inputs, styles, calibration=calibration)
    write_report(made)
    study = load_study(made.out / "study.json")
    assert [item.name for item in study.sets] == ["val", "own"]
    assert [item.novel for item in study.sets[1].categories] == [False, True, True, False]
    assert study.sets[1].metrics["AP_novel"] is not None
    recall = study.recalls[0]
    assert set(recall.groups) == {"base", "novel"}
    assert recall.groups["base"] == [1.0] * 4  # its proposals are the boxes
    assert "large" not in recall.lines
    names = ("report.html", "study.json", "summary.txt")
    before = [(made.out / name).read_bytes() for name in names]
    write_report(made)
    assert [(made.out / name).read_bytes() for name in names] == before


def test_images_that_stand_above_are_not_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: of 2 images the first is all missed, the second half: both are the worst and the
    most missed, the second is also the best. Two are shown of each kind at most."""
    scores = ImageScores(*(np.array(counts) for counts in ((0, 1), (0, 0), (2, 1), (0, 0))))
    monkeypatch.setattr(report_galleries, "image_scores", lambda *arguments: scores)
    monkeypatch.setattr(report_galleries, "pair_of", lambda evaluated, row, *rest: row)
    data = SimpleNamespace(caption=str, images=SimpleNamespace(read=lambda row: None))
    reported: Any = SimpleNamespace(
        evaluated=SimpleNamespace(truth=None, detections=None, naming=None), rows=[0, 1], data=data
    )
    best, worst, missed = report_galleries.galleries(reported, 2)
    assert (best.pairs, worst.pairs, missed.pairs) == ([1], [0, 1], [])
    assert missed.text.endswith("over which no detection lies. All 2 can be seen above: worst.")
    (best, *_, missed) = report_galleries.galleries(reported, 1)
    assert missed.text.endswith("The only one can be seen above: worst.")


def test_which_studies_are_closed_set() -> None:
    closed = compose(["experiment=coco"])
    assert report.is_closed_set(closed)
    nodes = {str(node) for node in needed("report", closed)}
    assert nodes == {"data[training/coco]", "data[coco]", "rpn", "coco_eval[coco]", "report"}
    for overrides in ([], ["experiment=bench_nanodet"]):
        config = compose(overrides)
        assert not report.is_closed_set(config)
        assert "roi" in {str(node) for node in needed("report", config)}
