"""What outputs are called, and what they never replace."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from unidet.errors import UserError
from unidet.pictures.journal import Journal
from unidet.pictures.naming import Names, check_targets, cut, name_outputs
from unidet.pictures.sources import Source, find_sources


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Source]]:
    """Makes images below an empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> list[Source]:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(name)
        return find_sources(names)

    return make


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "elsewhere") as journal:
        yield journal


FILMS = (".avi", ".mov", ".mp4")


def sources(*names: str) -> list[Source]:
    return [Source(name, name, is_video=name.endswith(FILMS)) for name in names]


def test_a_drawing_is_called_as_its_picture() -> None:
    given = sources("x.jpg", "b/x.jpg", "b/y.PNG", "z.heic", "no_ending", "f.avi", "g.mov")
    assert [names.drawing for names in name_outputs(given)] == [
        *("x.jpg", "b/x.jpg", "b/y.PNG", "z.heic.jpg", "no_ending.jpg", "f.avi", "g.mp4"),
    ]


def test_labels_are_called_by_the_stem_where_it_is_the_picture_s_alone() -> None:
    given = sources("x.jpg", "x.png", "a/x.jpg", "dots.2026.jpg")
    assert [names.stem for names in name_outputs(given)] == [
        *("x.jpg", "x.png", "a/x", "dots.2026"),
    ]


@pytest.mark.parametrize("name", ["x" * 251 + ".jp2", "a/" + "é" * 125 + ".heic"])
def test_a_name_that_an_ending_makes_too_long_is_cut(name: str, tmp_path: Path) -> None:
    """Found after the whole folder was looked at otherwise, when the file is written."""
    other_name = name.replace("x" if "x" in name else "é", "o", 1)
    drawing, other = (names.drawing for names in name_outputs(sources(name, other_name)))
    assert drawing != other
    assert drawing.rpartition("/")[0] == name.rpartition("/")[0]
    assert drawing.endswith(".jpg")
    (tmp_path / Path(drawing).name).touch()
    assert cut("x" * 251 + ".json") != cut("x" * 250 + "y.json")
    (tmp_path / cut("labelme/" + "é" * 125 + "x.json").removeprefix("labelme/")).touch()


def test_names_that_would_meet_are_told_apart() -> None:
    first, second = name_outputs(sources("f.mp4", "f.mov"))
    assert (first.drawing, second.drawing) == ("f.mp4.mp4", "f.mov.mp4")


def test_a_name_made_longer_meets_no_other() -> None:
    """Windows hides endings, and so a picture becomes x.jpg.jpg beside x.jpg and x.png."""
    given = sources("x.jpg", "x.png", "x.jpg.jpg", "y.jpg.jpg")
    assert [names.stem for names in name_outputs(given)] == [
        *("x.jpg", "x.png", "x.jpg.jpg", "y.jpg")
    ]
    films = name_outputs(sources("f.mov", "f.mp4", "f.mov.mp4", "f.mov.mp4.mp4"))
    assert [names.drawing for names in films] == [
        *("f.mov.mp4", "f.mp4.mp4", "f.mov.mp4.mp4", "f.mov.mp4.mp4.mp4")
    ]
    assert len({names.crops for names in films}) == 4


def test_the_frames_of_a_video_meet_no_pictures_of_a_folder_called_so() -> None:
    given = sources("a/f.mp4", "a/f/000001.jpg", "b/f.mp4")
    assert [names.stem for names in name_outputs(given)] == ["a/f.mp4", "a/f/000001", "b/f"]


def test_crops_never_meet_drawings() -> None:
    given = sources("crops/a.jpg", "b.jpg")
    assert name_outputs(given)[1] == Names("b.jpg", "b", "crops_/b")


@pytest.mark.parametrize("out", [".", "a/..", "link"])
def test_a_source_is_never_replaced(
    out: str, pictures: Callable[..., list[Source]], journal: Journal
) -> None:
    given = pictures("x.png", "y.jpg")
    os.symlink(".", "link")
    with pytest.raises(UserError, match=r"x\.png would replace an image that is read"):
        check_targets(Path(out), ["x.png"], given, journal)


def test_a_source_reached_through_links_is_never_replaced(
    pictures: Callable[..., list[Source]], journal: Journal
) -> None:
    given = pictures("album/x.png", "out/y.png")[:1]
    os.symlink("../album/x.png", "out/x.png")
    with pytest.raises(UserError, match="would replace an image"):
        check_targets(Path("out"), ["x.png"], given, journal)
    os.symlink("album/x.png", "x.jpg")  # one is given, its link is called as the drawing
    with pytest.raises(UserError, match="would replace an image"):
        check_targets(Path("album"), ["x.png"], sources("x.jpg"), journal)


def test_other_files_are_never_replaced(
    pictures: Callable[..., list[Source]], journal: Journal
) -> None:
    given = pictures("album/x.png", "out/x.png")[:1]
    with pytest.raises(UserError, match=r"out/x\.png is there and was not made by unidet detect"):
        check_targets(Path("out"), ["x.png"], given, journal)
    Path("out/y.png").mkdir()
    with pytest.raises(UserError, match=r"out/y\.png is there"):
        check_targets(Path("out"), ["y.png"], given, journal)
    Path("file").write_text("")
    with pytest.raises(UserError, match="file is not a folder"):
        check_targets(Path("file"), ["x.png"], given, journal)


def test_own_files_are_replaced(pictures: Callable[..., list[Source]]) -> None:
    given = pictures("album/x.png", "out/x.png")[:1]
    with Journal(Path("out")) as journal:
        journal.begin({})
        journal.will_write("x.png")
    with Journal(Path("out")) as journal:
        journal.begin({"other": "settings"})
        check_targets(Path("out"), ["x.png", "new.png"], given, journal)
