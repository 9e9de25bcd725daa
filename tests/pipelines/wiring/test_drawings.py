"""Where `unidet detect` puts what it makes, and what it never replaces."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unidet.errors import UserError
from unidet.pipelines.wiring.drawings import plan_drawings, results_file, save_drawing


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes pictures below an empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> list[str]:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(name)
        return list(names)

    return make


@pytest.mark.parametrize(
    ("images", "drawings"),
    [
        (["x.jpg"], ["x.png"]),
        (["deep/down/x.jpg"], ["x.png"]),
        (["a/x.jpg", "b/x.jpg"], ["a/x.png", "b/x.png"]),
        (["a/x.jpg", "a/b/x.jpg", "a/b/y.jpg"], ["x.png", "b/x.png", "b/y.png"]),
        (["x.jpg", "x.png", "y.jpg"], ["x.jpg.png", "x.png.png", "y.jpg.png"]),
        (["x.jpg", "x.png", "x.jpg.webp"], ["x.jpg.png", "x.png.png", "x.jpg.webp.png"]),
        (["x.jpg", "./x.jpg", "a/../x.jpg"], ["x.png"]),
        (["dots.2026.jpg", "no_suffix"], ["dots.2026.png", "no_suffix.png"]),
    ],
)
def test_every_picture_has_a_drawing_of_its_own(images: list[str], drawings: list[str]) -> None:
    planned = plan_drawings(images, Path("out"))
    assert list(planned.values()) == [Path("out", name) for name in drawings]
    assert list(planned) == images[: len(drawings)]


@pytest.mark.parametrize("out", [".", "a/..", "link"])
def test_a_picture_is_never_replaced(out: str, pictures: Callable[..., list[str]]) -> None:
    images = pictures("x.png", "y.jpg")
    os.symlink(".", "link")
    with pytest.raises(UserError, match=r"x\.png would replace a picture that is read"):
        plan_drawings(images, Path(out))


def test_a_picture_reached_through_links_is_never_replaced(
    pictures: Callable[..., list[str]],
) -> None:
    pictures("album/x.png", "out/y.png")
    os.symlink("../album/x.png", "out/x.png")
    with pytest.raises(UserError, match="would replace a picture"):
        plan_drawings(["album/x.png"], Path("out"))
    os.symlink("album/x.png", "x.jpg")  # one is given, its link is called as the drawing
    with pytest.raises(UserError, match="would replace a picture"):
        plan_drawings(["x.jpg"], Path("album"))


def test_other_files_are_never_replaced(pictures: Callable[..., list[str]]) -> None:
    """photo.png, the original, lies beside photo.jpg."""
    pictures("photo.png", "photo.jpg")
    with pytest.raises(UserError, match=r"photo\.png is there and was not made by unidet detect"):
        plan_drawings(["photo.jpg"], Path())
    Path("results").mkdir()
    Path("results/detections.json").write_text('[{"image_id": 1, "score": 0.5}]')
    with pytest.raises(UserError, match=r"detections\.json is there and was not made by"):
        plan_drawings(["photo.jpg"], Path("results"))


@pytest.mark.parametrize("records", [[], [{"image": "x.jpg", "score": 0.5}]])
def test_what_a_run_left_is_replaced_by_the_next(
    records: list[dict], pictures: Callable[..., list[str]]
) -> None:
    images = pictures("x.jpg")
    for _ in range(2):
        drawings = plan_drawings(images, Path("out"))
        save_drawing(Image.new("RGB", (4, 4)), drawings["x.jpg"])
        with results_file(Path("out")) as write:
            for record in records:
                write(record)
    assert json.loads(Path("out/detections.json").read_text()) == records
    assert sorted(os.listdir("out")) == ["detections.json", "x.png"]


def test_a_run_that_fails_leaves_the_list_as_it_was(tmp_path: Path) -> None:
    with results_file(tmp_path) as write:
        write({"image": "before.jpg"})

    def fail() -> None:
        with results_file(tmp_path) as write:
            write({"image": "after.jpg"})
            raise UserError("damaged")

    with pytest.raises(UserError, match="damaged"):
        fail()
    assert json.loads((tmp_path / "detections.json").read_text()) == [{"image": "before.jpg"}]
    assert os.listdir(tmp_path) == ["detections.json"]


def test_a_drawing_is_not_put_where_a_folder_or_a_file_stands(
    pictures: Callable[..., list[str]],
) -> None:
    images = pictures("a/x.jpg", "b/x.jpg")
    Path("out/a/x.png").mkdir(parents=True)
    with pytest.raises(UserError, match=r"out/a/x\.png is there"):
        plan_drawings(images, Path("out"))
    Path("file").write_text("")
    with pytest.raises(UserError, match="file is not a folder"):
        plan_drawings(images, Path("file"))
