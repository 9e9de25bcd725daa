"""mmdet's pickles and results in JSON, there and back, worked by hand."""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import complaint_of, exit_status

# Neither images nor categories stand in the order of their ids, as in real files.
run = partial(exit_status, "interchange")
refused = partial(complaint_of, "interchange")

TRUTH = {
    "images": [{"id": 30}, {"id": 10}, {"id": 20}],
    "categories": [{"id": 7, "name": "b"}, {"id": 3, "name": "a"}],
    "annotations": [],
}


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 5)


PROPOSALS = [
    rows((0, 1, 10, 21, 0.9), (0.1, 0.2, 0.7, 99.3, 0.3)),
    rows(),
    rows((5, 5, 6, 7, 0.5)),
]
RESULTS = [
    [rows((0, 1, 10, 21, 0.9), (0.1, 0.2, 0.7, 99.3, 0.95)), rows((1, 2, 3, 4, 0.1))],
    [rows(), rows()],
    [rows(), rows((5, 5, 6, 7, 0.5))],
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("gt.json").write_text(json.dumps(TRUTH))
    return tmp_path


def dump(path: str, contents: Any) -> None:
    Path(path).write_bytes(pickle.dumps(contents, 2))


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(found, expected, strict=True)


def test_proposals_to_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump("p.pkl", PROPOSALS)
    assert run("p.pkl", "p.json", "--annotations", "gt.json") == 0
    assert capsys.readouterr().out == "p.json: 3 proposals in 3 images\n"
    records = json.loads(Path("p.json").read_text())
    assert [record["image_id"] for record in records] == [30, 30, 20]
    assert {record["category_id"] for record in records} == {1}
    assert records[0]["bbox"] == [0, 1, 10, 20]
    assert records[2] == {"image_id": 20, "category_id": 1, "bbox": [5, 5, 1, 2], "score": 0.5}


def test_names_of_files_do_not_steer_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump("p.pkl", PROPOSALS)
    assert run("p.pkl", "\x1b[2J.json", "--annotations", "gt.json") == 0
    assert capsys.readouterr().out == "?[2J.json: 3 proposals in 3 images\n"


def test_results_to_json(folder: Path) -> None:
    dump("r.pkl", RESULTS)
    assert run("r.pkl", "r.json", "--annotations", "gt.json") == 0
    records = json.loads(Path("r.json").read_text())
    assert [(r["image_id"], r["category_id"]) for r in records] == [
        (30, 7),
        (30, 7),
        (30, 3),
        (20, 3),
    ]
    assert records[2]["bbox"] == [1, 2, 2, 2]


@pytest.mark.parametrize(("contents", "flags"), [(PROPOSALS, ("--proposals",)), (RESULTS, ())])
def test_there_and_back_bit_by_bit(folder: Path, contents: list, flags: tuple) -> None:
    dump("official.pkl", contents)
    assert run("official.pkl", "x.json", "--annotations", "gt.json") == 0
    assert run("x.json", "back.pkl", "--annotations", "gt.json", *flags) == 0
    assert_same(pickle.loads(Path("back.pkl").read_bytes()), contents)
    assert run("official.pkl", "again.pkl", "--annotations", "gt.json") == 0
    assert Path("again.pkl").read_bytes() == Path("back.pkl").read_bytes()


def test_proposals_come_best_first(folder: Path) -> None:
    record = {"image_id": 10, "category_id": 99, "bbox": [0, 0, 1, 1]}
    scores = (0.2, 0.8, 0.5)
    Path("p.json").write_text(json.dumps([record | {"score": score} for score in scores]))
    assert run("p.json", "p.pkl", "--annotations", "gt.json", "--proposals") == 0
    found = pickle.loads(Path("p.pkl").read_bytes())
    assert [len(part) for part in found] == [0, 3, 0]
    np.testing.assert_array_equal(found[1][:, 4], np.float32([0.8, 0.5, 0.2]))


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (PROPOSALS[:2], "a list of 2, but there are 3 images of gt.json; mmdet's order"),
        ([part[:1] for part in RESULTS], "a list of 1, but there are 2 categories of gt.json"),
        ([rows(), rows(), np.zeros((4, 4))], r"image 2 is (4, 4), must be (n, 5): x1, y1"),
        ([rows(), rows(), rows((1, 2, 3, 4, np.nan))], "image 2 holds values that are no finite"),
        ([rows(), np.full((1, 5), 1e300), rows()], "image 1 holds values that are no finite"),
        ([([], []), [], []], "image 0 holds masks beside its boxes"),
        ({"a": 1}, "holds dict, must be a list of 3 images"),
        ([print], "refused: it wants to call __builtin__.print"),
    ],
)
def test_pickles_that_do_not_fit(
    contents: Any, complaint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump("x.pkl", contents)
    said = refused(capsys, "x.pkl", "y.json", "--annotations", "gt.json")
    assert f"x.pkl: {complaint}" in said


def test_arguments_that_do_not_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump("x.pkl", PROPOSALS)
    given = ("--annotations", "gt.json")
    assert "must end in .pkl (mmdet) or .json" in refused(capsys, "x.pkl", "y.npz", *given)
    assert "no folder absent" in refused(capsys, "x.pkl", "absent/y.json", *given)
    assert "--annotations FILE says which images" in refused(capsys, "x.pkl", "y.json")
    assert "x.csv: must be .pkl, .json, or proposals:" in refused(capsys, "x.csv", "y.pkl", *given)
    assert "absent.pkl: no such file" in refused(capsys, "absent.pkl", "y.json", *given)
    Path("x.json").write_text('[{"image_id": 11, "bbox": [0, 0, 1, 1], "score": 1}]')
    assert "image_id 11 is not among" in refused(capsys, "x.json", "y.pkl", *given, "--proposals")
    assert "'category_id' is missing" in refused(
        capsys, "x.json", "y.pkl", "--annotations", str(_truth_with(folder, 11))
    )
    Path("twice.json").write_text(json.dumps(TRUTH | {"images": [{"id": 1}, {"id": 1}]}))
    assert "its id is already taken" in refused(
        capsys, "x.pkl", "y.json", "--annotations", "twice.json"
    )


def _truth_with(folder: Path, image: int) -> Path:
    path = folder / "other.json"
    path.write_text(json.dumps(TRUTH | {"images": [{"id": image}]}))
    return path
