"""Models of a tiny study that has run: they find what its evaluation found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from commands import complaint_of, exit_status
from detected import evaluated_rows, pictures_of, rows
from PIL import Image
from studies import built

import unidet
from unidet.config.compose import compose
from unidet.config.folders import take_folders
from unidet.errors import UserError
from unidet.pipelines.detector.model import Model, load
from unidet.pipelines.detector.opened_study import Study, open_study
from unidet.pipelines.detector.options import Options
from unidet.vocabularies.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[3]
ALL = Options(threshold=0, top_k=300, multi_label=True)
WORDS = ["striped red star", "framed ring"]


@pytest.fixture(scope="module")
def store(overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a tiny study that has run to its end."""
    root = tmp_path_factory.mktemp("study") / "store"
    built(compose([*overrides, "stage=lvis_eval", f"store.root={root}"]))
    return root


@pytest.fixture(scope="module")
def study(store: Path) -> Study:
    return open_study(store)


@pytest.fixture(scope="module")
def model(store: Path) -> Model:
    return load(store)


@pytest.fixture(scope="module")
def pictures(study: Study) -> list[np.ndarray]:
    return pictures_of(study, "val")


def test_detections_are_those_of_the_evaluation(
    study: Study, model: Model, pictures: list[np.ndarray]
) -> None:
    names = [category.name for category in study.images("val").split.categories]
    evaluated = list(evaluated_rows(study, "val"))
    assert sum(map(len, evaluated)) > 100
    for expected, detections in zip(evaluated, model.stream(pictures, names, ALL), strict=True):
        assert detections.size_hw == (192, 192)
        np.testing.assert_allclose(rows(detections), expected, rtol=1e-4, atol=1e-4)


def test_the_experiment_by_its_name_is_the_same(
    store: Path, model: Model, pictures: list[np.ndarray], overrides: tuple[str, ...]
) -> None:
    named = load(study="toy", store=store, overrides=overrides)
    assert named.names is None
    pairs = zip(named.stream(pictures, WORDS, ALL), model.stream(pictures, WORDS, ALL), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(rows(one), rows(other))


def test_weights_alone_find_the_same(
    study: Study, model: Model, pictures: list[np.ndarray]
) -> None:
    """Files of ours of another size than the official one: pages say what they are."""
    folder = study.lineage.folder
    alone = load(
        folder("roi") / "model.safetensors",
        proposals_weights=folder("rpn") / "model.safetensors",
        embeddings=folder("clip_embeddings[toy_val]") / "embeddings.npz",
        overrides=["experiment=toy", "rpn=toy", "roi=toy"],
    )
    names = study.embeddings("toy_val").index.tolist()
    assert alone.names == tuple(names)
    pairs = zip(alone.stream(pictures, None, ALL), model.stream(pictures, names, ALL), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(rows(one), rows(other), rtol=1e-5, atol=1e-5)


def test_any_size_and_no_proposals(model: Model) -> None:
    for height, width in ((1, 1), (1, 2000), (700, 3)):
        detections = model.detect(np.full((height, width, 3), 128, np.uint8), WORDS, threshold=0)
        assert detections.size_hw == (height, width)
        assert (detections.boxes_xyxy <= np.array([width, height] * 2) + 0.01).all()


def test_names_must_be_given(model: Model, pictures: list[np.ndarray]) -> None:
    with pytest.raises(UserError, match="this model takes any name; say which"):
        model.detect(pictures[0])


def test_calibration_counts_the_pictures_so_far(model: Model, pictures: list[np.ndarray]) -> None:
    """With two names weights are 1 / n^g over their mean; an image alone is its own prior."""
    loose = {"threshold": 0, "top_k": 300, "multi_label": True}
    plain = model.detect(pictures[0], WORDS, **loose)
    counts = np.bincount(plain.labels, minlength=2).clip(1)
    weights = (1 / counts) / (1 / counts).mean()
    calibrated = model.detect(pictures[0], WORDS, gamma=1.0, **loose)
    best = [plain.scores[plain.labels == label].max() for label in (0, 1)]
    lifted = [calibrated.scores[calibrated.labels == label].max() for label in (0, 1)]
    beta = 0.4  # of the toy study: scores are probabilities to that power
    np.testing.assert_allclose(lifted, np.minimum(best * weights**beta, 1), rtol=1e-4)


def test_a_region_s_embedding_is_what_its_names_are_compared_with(
    model: Model, pictures: list[np.ndarray]
) -> None:
    proposals = model.proposals(pictures[0])
    assert proposals.shape[1] == 5
    assert (np.diff(proposals[:, 4]) <= 0).all()
    regions = model.embed(pictures[0], proposals[:3, :4])
    words = model.embed_text(WORDS)
    assert (regions.shape, words.shape) == ((3, 128), (2, 128))
    np.testing.assert_allclose(np.linalg.norm(regions, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1, rtol=1e-5)


def test_a_toy_study_is_no_answer_to_a_photograph(store: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"no study on real images: .*toy world.*--study .*; for photographs give check",
    ) as error:
        load(store=store)
    assert "\n" not in str(error.value)
    named = re.search(r"--study (\S+);", str(error.value))
    assert named is not None
    assert open_study(named[1]).lineage.is_toy
    with pytest.raises(
        UserError, match=r"--study \S+; for photographs train on real images: unidet"
    ):
        open_study(store=store)  # as `search` does, which takes no checkpoints


def test_a_folder_of_a_study_is_one(tmp_path: Path) -> None:
    """As `-C` takes it; nothing is trained there yet."""
    file = tmp_path / "own" / "experiment" / "study.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\ndefaults:\n  - toy\n  - _self_\nexperiment: study\n")
    run = re.escape(f"; run: unidet -C {tmp_path / 'own'} stage=report")
    with pytest.raises(UserError, match=rf"nothing trained for experiment 'study' .*{run}$"):
        load(study=tmp_path / "own", store=tmp_path / "store")
    folders, _ = take_folders(["-C", str(tmp_path / "own")])
    with pytest.raises(UserError, match=rf"no study: nothing is trained in .*{run}$"):
        load(store=tmp_path / "store", overrides=folders.before([]))


@pytest.mark.parametrize(
    "ask", [lambda study: study.search("cat"), Study.regions, Study.embeddings]
)
def test_a_closed_set_study_has_no_text(ask: Callable[[Study], object]) -> None:
    lineage = SimpleNamespace(head=SimpleNamespace(stage="rpn"), of=lambda stage: {})
    closed = Study(lineage, compose(["experiment=closed_set"]))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"a closed-set study has no text .*cannot be searched"):
        ask(closed)
    half = Study(lineage, compose(["experiment=toy"]))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="not in this study; run stage="):
        ask(half)


def test_tables_of_a_study(study: Study) -> None:
    assert set(study.artefacts.index) >= {"rpn", "roi", "clip", "lvis_eval[val]", "data[val]"}
    assert study.metrics.loc[("lvis_eval", "val"), "AP"] >= 0
    split = study.images("val").split
    detections = study.detections("val")
    assert list(detections) == [
        *("image_id", "file_name", "category_id", "category", "score", "x1", "y1", "x2", "y2")
    ]
    assert set(detections["category"]) <= {category.name for category in split.categories}
    assert (detections["x2"] >= detections["x1"]).all()
    proposals = study.proposals("dev")
    assert set(proposals["image_id"]) == set(study.images("dev").split.image_ids)
    regions = study.regions()  # of `val`
    assert len(regions.embeddings) == len(regions.rows) == len(regions.boxes_xyxy)
    np.testing.assert_allclose(np.linalg.norm(regions.embeddings, axis=1), 1, rtol=1e-3)
    assert study.embeddings("toy_a").shape[1] == 128


@pytest.mark.parametrize(
    ("name", "complaint"), [("vall", "did you mean 'val'"), ("x", "there are 'dev', 'val'")]
)
def test_a_set_that_there_is_not(study: Study, name: str, complaint: Any) -> None:
    with pytest.raises(UserError, match=complaint):
        study.detections(name)


def test_search_ranks_the_stored_regions(study: Study, model: Model) -> None:
    hits = study.search("framed ring", "val", 7)
    assert list(hits) == ["score", "row", "image_id", "x1", "y1", "x2", "y2"]
    assert len(hits) == 7
    assert (np.diff(hits["score"]) <= 0).all()
    regions = study.regions("val")
    (word,) = model.embed_text(["framed ring"])
    settings = json.loads((study.lineage.folder("roi") / "classifier.json").read_text())
    logits = regions.embeddings.astype(np.float32) @ word * settings["scale"] + settings["bias"]
    scores = (1 / (1 + np.exp(-logits))) ** 0.4 * regions.proposal_scores**0.6
    best = int(scores.argmax())
    assert hits["score"][0] == pytest.approx(scores[best], rel=1e-4)
    assert hits["image_id"][0] == regions.image_ids[best]
    np.testing.assert_array_equal(hits.loc[0, ["x1", "y1", "x2", "y2"]], regions.boxes_xyxy[best])


def test_search_as_a_command(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    options = ("--study", store, "--dataset", "dev", "--top", 7, "--out", sheet)
    assert exit_status("search", "framed ring", *options) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert "note" not in said.err
    assert len(lines) == 8
    assert lines[-1] == str(sheet)
    with Image.open(sheet) as picture:
        assert picture.width == 5 * 192 + 4 * 8
        assert picture.height == 2 * (192 + 22)
    assert exit_status("search", "framed zebra", *options) == 0
    assert "has read the toy world's words alone, and not 'zebra'" in capsys.readouterr().err
    assert "must end in .png" in complaint_of(
        "search", capsys, "ring", "--out", tmp_path / "sheet.jpg", folder=tmp_path
    )


def test_given_networks_are_taken_into_a_store_without_data(study: Study, tmp_path: Path) -> None:
    for stage in ("rpn", "roi"):
        weights = study.lineage.folder(stage) / "model.safetensors"
        given = (f"{stage}=toy", f"{stage}.weights={weights}", f"{stage}.training=null")
        done = built(
            compose(["experiment=coco_o365", f"stage={stage}", f"store.root={tmp_path}", *given])
        )
        assert list(done) == [stage]
        assert (done[stage].folder / "model.safetensors").is_file()


def test_words_and_examples_mix(model: Model, pictures: list[np.ndarray]) -> None:
    """The shown category's scores change; the word's are those it has among words."""
    crops = np.concatenate([model.embed(picture[:60, :60]) for picture in pictures[:3]])
    mixed = Vocabulary.of(WORDS).with_example(WORDS[1], crops)
    for words, shown in zip(
        model.stream(pictures, WORDS, ALL), model.stream(pictures, mixed, ALL), strict=True
    ):
        same = [rows(detections)[rows(detections)[:, 0] == 0] for detections in (words, shown)]
        np.testing.assert_allclose(*same, rtol=1e-5, atol=1e-5)
        assert not np.array_equal(rows(words), rows(shown))


def test_the_example_notebook_runs(store: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "outputs").symlink_to(store)
    (tmp_path / "docs").mkdir()  # Jupyter runs a notebook in its own folder
    monkeypatch.chdir(tmp_path / "docs")
    notebook = json.loads((ROOT / "docs/example.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert isinstance(names["detections"], unidet.Detections)
    assert names["cosines"].shape == (5, 2)


def test_the_second_stage_in_a_file(
    model: Model, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    """ONNX Runtime embeds regions as the model does."""
    assert model.export_onnx(tmp_path / "m.onnx", WORDS) == tuple(WORDS)
    session = onnxruntime.InferenceSession(
        str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"]
    )
    picture = np.pad(pictures[0], ((0, 64), (0, 64), (0, 0)), mode="reflect")
    assert picture.shape == (256, 256, 3)  # as the second stage takes it
    boxes = model.proposals(picture)[:20]
    rois = np.insert(boxes[:, :4], 0, 0, axis=1)
    inputs = {"images": picture[None], "sizes": np.array([[256, 256]])}
    _, scores, embeddings = session.run(None, inputs | {"rois": rois, "objectness": boxes[:, 4]})
    assert scores.shape == (20, len(WORDS))
    np.testing.assert_allclose(embeddings, model.embed(picture, boxes[:, :4]), atol=1e-4)
    with pytest.raises(UserError, match="raw: a second stage's file has no NMS inside"):
        model.export_onnx(tmp_path / "m.onnx", WORDS, raw=True)
    shown = Vocabulary(()).with_example("it", embeddings[:1])
    with pytest.raises(UserError, match="vocabulary: a file takes names, not examples"):
        model.export_onnx(tmp_path / "m.onnx", shown)
