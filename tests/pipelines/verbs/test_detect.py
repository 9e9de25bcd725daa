"""`unidet detect` on a model made by hand: what reaches it, and the status."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import exit_status
from PIL import Image

from unidet.console import interrupt
from unidet.pictures.detections import Detections
from unidet.pictures.journal import JOURNAL
from unidet.pictures.videos import video_file
from unidet.pipelines.detector import for_files
from unidet.pipelines.detector.options import Options
from unidet.pipelines.verbs import detect
from unidet.vocabularies.vocabulary import Vocabulary


class HandMade:
    """Finds the whole image as its first name, if the threshold lets it."""

    asks = "this model takes any name; say which"

    def __init__(self, names: tuple[str, ...] | None) -> None:
        self.names = names
        self.asked: list[Any] = []

    def stream(
        self, images: Iterable[np.ndarray], names: Vocabulary | None, options: Options
    ) -> Iterator[Detections]:
        self.asked += [names, options]
        chosen = self.names if names is None else names.names
        assert chosen is not None
        for image in images:
            height, width, _ = image.shape
            found = Detections(
                np.array([[0, 0, width, height]], np.float32),
                np.array([0.5], np.float32),
                np.zeros(1, np.int64),
                chosen,
                (height, width),
            )
            yield found.take(found.scores >= options.threshold)

    def proposals(self, image: np.ndarray) -> np.ndarray:
        return np.zeros((0, 5), np.float32)

    def embed(self, image: Path, boxes: np.ndarray | None) -> np.ndarray:
        self.asked.append((image, boxes))
        return np.eye(1, 4, dtype=np.float32)


Opened = Callable[[tuple[str, ...] | None], HandMade]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Makes the model that `load` gives, in a working folder with images `a.png`, `b/c.png`."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b/c.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 10)).save(name)
    Path("w.pth").touch()

    def make(names: tuple[str, ...] | None) -> HandMade:
        model = HandMade(names)
        monkeypatch.setattr(for_files, "load", lambda **given: model.asked.append(given) or model)
        return model

    return make


def results() -> list[dict]:
    return json.loads(Path("detections/detections.json").read_text())


def test_options_reach_the_model(opened: Opened) -> None:
    model = opened(None)
    status = exit_status(
        *("detect", "a.png", "b", "--set", "seed=3", "--vocab", "cat, dog", "--weights", "w.pth"),
        *("--threshold", "0.4", "--top-k", "7", "--gamma", "0.5", "--multi-label"),
    )
    assert status == 0
    given, names, options = model.asked
    assert given == {
        "study": None,
        "proposals_weights": None,
        "weights": "w.pth",
        "text_encoder": None,
        "embeddings": None,
        "overrides": ["seed=3"],
    }
    assert names.names == ("cat", "dog")
    assert options == Options(threshold=0.4, top_k=7, gamma=0.5, multi_label=True)
    assert [record["bbox"] for record in results()] == [[0, 0, 20, 10]] * 2


def test_a_closed_set_model_has_names_of_its_own(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    model = opened(("person", "bicycle"))
    assert exit_status("detect", "a.png", "--weights", "w.pth") == 0
    assert model.asked[1] is None
    images = json.loads(Path("detections/images.json").read_text())
    assert [category["name"] for category in images["categories"]] == ["person", "bicycle"]
    assert "1 box in 1 image -> detections" in capsys.readouterr().err


def test_an_open_model_needs_names(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    opened(None)
    assert exit_status("detect", "a.png", "--weights", "w.pth") == 2
    assert "--vocab: this model takes any name; say which" in capsys.readouterr().err
    assert exit_status("detect", "a.png", "--weights", "w.pth", "--vocab", " ") == 2
    assert "--vocab: names no category: give names, such as" in capsys.readouterr().err
    assert not Path("detections").exists()


@pytest.mark.parametrize(
    ("names", "is_told"),
    [("dog.cat.light", True), ("U.S. flag", False), ("no.1 sign", False), ("a.bc, cat.dog", False)],
)
def test_one_name_that_may_be_several_is_told(
    names: str, is_told: bool, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(None)
    assert exit_status("detect", "a.png", "--weights", "w.pth", "--vocab", names) == 0
    note = f"note: {names!r} is one name; several are separated by commas"
    assert (note in capsys.readouterr().err) == is_told


def test_without_a_box_no_more_is_said_than_is_known(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model has a score of 0.5, of which the threshold alone does not tell."""
    opened(("person",))
    for threshold in ("0.75", "0.51"):
        command = ("detect", "a.png", "--weights", "w.pth", "--threshold", threshold)
        assert exit_status(*command) == 0
        said = f"no score reaches {threshold}; a lower --threshold shows more where the network"
        assert said in capsys.readouterr().err
    for threshold in (0.05, 0.01):
        assert "shows more where the network keeps lower scores" in detect._nothing_found(threshold)


def test_below_a_threshold_of_0_there_is_nothing() -> None:
    assert "--threshold" not in detect._nothing_found(0)


def test_what_cannot_be_read_is_status_1(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(("person",))
    Path("b/broken.jpg").write_bytes(b"no image")
    assert exit_status("detect", "b", "--weights", "w.pth") == 1
    told = capsys.readouterr().err
    assert "b/broken.jpg: is text, which begins with 'no image'" in told
    assert "1 of 2 could not be read" in told
    assert len(results()) == 1


def test_a_video_read_in_part_is_status_1_also_when_resumed(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(("person",))
    film = Path("film.avi")
    with video_file(film, 5.0) as write:
        for frame in np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), np.uint8):
            write(frame)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    for _ in range(2):
        assert exit_status("detect", "film.avi", "--weights", "w.pth") == 1
        assert "1 of 1 could be read only in part" in capsys.readouterr().err


def test_a_changed_model_option_or_name_does_all_again(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(None)
    command = ["detect", "a.png", "--weights", "w.pth", "--vocab"]
    assert exit_status(*command, "cat") == 0
    for more in (["cat", "--threshold", "0.2"], ["dog"], ["dog", "seed=3"]):
        assert exit_status(*command, *more) == 0
    Path("w.pth").write_bytes(b"trained longer")
    assert exit_status(*command, "dog", "seed=3") == 0
    assert "done already" not in capsys.readouterr().err
    assert exit_status(*command, "dog", "seed=3") == 0
    assert "1 of 1 are done already" in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["program_digest", "environment"])
def test_another_version_of_the_program_does_all_again(
    opened: Opened,
    changed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened(("cat",))
    command = ("detect", "a.png", "--weights", "w.pth")
    assert exit_status(*command) == 0
    monkeypatch.setattr(for_files, changed, lambda: "another")
    assert exit_status(*command) == 0
    assert "done already" not in capsys.readouterr().err


def test_examples(opened: Opened) -> None:
    model = opened(None)
    status = exit_status(
        *("detect", "a.png", "--weights", "w.pth", "--vocab", "dog"),
        *("--example", "cat=a.png", "--example", "cat=b/c.png@1,2,3,4.5"),
    )
    assert status == 0
    _, first, second, names, _ = model.asked
    assert first == (Path("a.png"), None)  # the file: a box is in its pixels, not in fewer
    assert second[1].tolist() == [[1, 2, 3, 4.5]]
    assert names.names == ("dog", "cat")
    assert names.entries[1].embedding.tolist() == [1, 0, 0, 0]


def test_a_false_example_is_called_what_it_is(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(None)
    for example, reason in {
        "cat=b": "b: is a folder, must be an image",
        "cat=a.png@-1,2,3,4": "a.png@-1,2,3,4: no such file; a box in an image is @X1,Y1,X2,Y2",
        "cat=none.png": "none.png: no such file\n",
    }.items():
        assert exit_status("detect", "a.png", "--weights", "w.pth", "--example", example) == 2
        assert f"--example: {reason}" in capsys.readouterr().err


def test_ctrl_c_leaves_the_results_so_far(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = opened(("person",))
    stream = model.stream

    def stopping(*given: Any) -> Iterator[Detections]:
        for found in stream(*given):
            signal.raise_signal(signal.SIGINT)
            yield found

    monkeypatch.setattr(model, "stream", stopping)
    try:
        assert exit_status("detect", "a.png", "b", "--weights", "w.pth") == 75
    finally:
        interrupt._requested.clear()
    assert "the same command resumes" in capsys.readouterr().err
    assert len(results()) == 1
    monkeypatch.setattr(model, "stream", stream)
    assert exit_status("detect", "a.png", "b", "--weights", "w.pth") == 0
    assert "1 of 2 are done already" in capsys.readouterr().err
    assert len(results()) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_list_that_does_not_come_is_not_waited_for_after_a_signal(
    number: signal.Signals,
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened(("cat",))

    class Silent:
        def read(self) -> str:
            signal.raise_signal(number)
            return "a.png"  # as a pipe gives that is read on after the signal

    monkeypatch.setattr("sys.stdin", Silent())
    try:
        assert exit_status("detect", "-", "--weights", "w.pth") == interrupt.EXIT_CODE
    finally:
        interrupt._requested.clear()
    assert "stopped; " in capsys.readouterr().err
    assert not Path("detections").exists()


def test_no_password_enters_the_journal(opened: Opened) -> None:
    opened(("cat",))
    remote = "remote=sftp://me:S3cret@cluster/data"
    assert exit_status("detect", "a.png", "--weights", "w.pth", remote) == 0
    journal = Path("detections", JOURNAL).read_text()
    assert "S3cret" not in journal
    assert "sftp://me:***@cluster/data" in journal


@pytest.mark.parametrize("example", ["cat", "=a.png", "cat="])
def test_an_example_has_a_name_and_a_picture(
    example: str, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(None)
    assert exit_status("detect", "a.png", "--weights", "w.pth", "--example", example) == 2
    assert "must be NAME=IMAGE or NAME=IMAGE@X1,Y1,X2,Y2" in capsys.readouterr().err


def test_the_drawings_may_be_left_out(opened: Opened) -> None:
    opened(("person",))
    command = ["detect", "a.png", "--weights", "w.pth", "--no-drawings", "--crops"]
    assert exit_status(*command, "--show-proposals") == 0
    left = sorted(str(path) for path in Path("detections").rglob("*") if path.is_file())
    assert left[1:] == [
        "detections/crops/a/01_person.jpg",
        "detections/detections.json",
        "detections/images.json",
    ]
