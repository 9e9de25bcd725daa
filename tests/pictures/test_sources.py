"""Which images a command line means."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.errors import UserError
from unidet.pictures.journal import JOURNAL, Journal
from unidet.pictures.sources import find_sources


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes empty files below an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> None:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    return make


LINKS = ("gone", "loop")


def paths(*given: str, recursive: bool = False) -> list[str]:
    return [source.path for source in find_sources(given, recursive=recursive)]


def names(*given: str, recursive: bool = False) -> list[str]:
    return [source.name for source in find_sources(given, recursive=recursive)]


def test_a_folder_s_pictures_by_name(files: Callable[..., None]) -> None:
    files(
        "p/b.JPG", "p/a.png", "p/notes.txt", "p/.hidden.jpg", "p/no_ending", "p/c.mp4", "p/d/e.jpg"
    )
    assert paths("p") == ["p/a.png", "p/b.JPG", "p/c.mp4"]
    assert paths("p", recursive=True) == ["p/a.png", "p/b.JPG", "p/c.mp4", "p/d/e.jpg"]
    assert names("p", recursive=True) == ["a.png", "b.JPG", "c.mp4", "d/e.jpg"]


def test_linked_folders_are_folders_and_circles_end(files: Callable[..., None]) -> None:
    files("p/a.jpg", "q/b.jpg", "r/c.jpg", "p/d/e.jpg")
    Path("p/q").symlink_to("../q")
    Path("p/d/up").symlink_to("..")
    Path("q/r").symlink_to("../r")
    Path("r/q").symlink_to("../q")
    found = ["p/a.jpg", "p/d/e.jpg", "p/q/b.jpg", "p/q/r/c.jpg"]
    assert paths("p", recursive=True) == found
    assert paths("p") == ["p/a.jpg"]
    assert paths("p/**/*.jpg") == paths("p/**") == found
    assert paths("p/*/*.jpg") == ["p/d/e.jpg", "p/q/b.jpg"]


def test_links_that_lead_to_no_file_are_named_and_stop_no_others(
    files: Callable[..., None],
) -> None:
    files("p/a.jpg")
    Path("p/loop.jpg").symlink_to("loop.jpg")
    Path("p/gone.jpg").symlink_to("nowhere.jpg")
    wanted = [("p/a.jpg", ""), *((f"p/{n}.jpg", "is a link that leads to no file") for n in LINKS)]
    for given in (["p"], ["p/*.jpg"], ["p/a.jpg", *(f"p/{name}.jpg" for name in LINKS)]):
        for recursive in (False, True):
            found = find_sources(given, recursive=recursive)
            assert [(source.path, source.fault) for source in found] == wanted
    with pytest.raises(UserError, match=r"^p/gone\.jpg: is a link that leads to no file$"):
        find_sources(["p/gone.jpg"])


def test_patterns_find_what_glob_finds(files: Callable[..., None]) -> None:
    files("a/x.jpg", "a/b/x.jpg", "a/.h/x.jpg", "a/.y.jpg", "a/b/c/z1.png", "a/b[1]/x.jpg", "w.jpg")
    patterns = ("**/*.jpg", "a/**/x.jpg", "*/x.jpg", "a/*", "a/b/../*.jpg", "a/?/x.jpg", "./**/z*")
    for pattern in (*patterns, "a/.h/*.jpg", "**/c/**", "a/**/b/**/*.png", "a/[b]/*/*.png", "**"):
        wanted = [name for name in sorted(glob.glob(pattern, recursive=True)) if "." in name[-4:]]
        assert wanted, pattern
        assert set(paths(pattern)) >= set(wanted), pattern
    assert paths("a/*/") == ["a/b/x.jpg", "a/b[1]/x.jpg"]
    assert paths("a//*//x.jpg") == ["a/b/x.jpg", "a/b[1]/x.jpg"]
    assert paths("**/?.jpg") == ["a/b/x.jpg", "a/b[1]/x.jpg", "a/x.jpg", "w.jpg"]
    assert paths(f"{Path.cwd()}/*.jpg") == [f"{Path.cwd()}/w.jpg"]
    with pytest.raises(UserError, match="no image has such a name"):
        find_sources(["nowhere/**/*.jpg"])


@pytest.fixture
def left(files: Callable[..., None]) -> None:
    """Images below `p`, and in `p/out` what detect wrote and an image that somebody put there."""
    files("p/a.jpg", "p/z/b.jpg", "p/out/a.jpg", "p/out/z/b.jpg", "p/out/c.jpg")
    with Journal(Path("p/out")) as journal:
        journal.begin({})
        journal.will_write("a.jpg")
        journal.will_write("z/b.jpg")


@pytest.mark.usefixtures("left")
def test_what_detect_has_left_is_no_source() -> None:
    assert paths("p", recursive=True) == ["p/a.jpg", "p/out/c.jpg", "p/z/b.jpg"]
    assert paths("p/out", recursive=True) == ["p/out/c.jpg"]
    Path("p/out/c.jpg").unlink()
    with pytest.raises(UserError, match="no images there"):
        find_sources(["p/out"], recursive=True)
    assert paths("p/out/z") == ["p/out/z/b.jpg"], "a folder in its output is what is asked for"


@pytest.mark.usefixtures("left")
def test_nor_where_a_pattern_a_list_or_a_shell_finds_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for given in (["p/**/?.jpg"], ["p/a.jpg", "p/out/a.jpg", "p/out/z/b.jpg", "p/z/b.jpg"], ["-"]):
        listed = io.StringIO("p/z/b.jpg\n./p/out/a.jpg\np/a.jpg\np/out/z/b.jpg\n")
        Path("p/out/c.jpg").unlink(missing_ok=True)
        found = find_sources(given, listed=listed)
        assert {source.path for source in found} == {"p/a.jpg", "p/z/b.jpg"}
        assert {source.name for source in found} == {"a.jpg", "z/b.jpg"}, "as without them"
        said = capsys.readouterr().err
        assert said.endswith("p/out/a.jpg: was written by detect; it and 1 more are passed over\n")
    assert paths("p/a.jpg", "p/out/a.jpg") == ["p/a.jpg"]
    assert capsys.readouterr().err == "p/out/a.jpg: was written by detect; it is passed over\n"


@pytest.mark.usefixtures("left")
def test_it_is_one_where_it_is_named_alone() -> None:
    assert paths("p/out/a.jpg") == ["p/out/a.jpg"]
    assert paths("p/out/z/*.jpg") == ["p/out/z/b.jpg"]
    found = find_sources(["p/out/a.jpg", "p/gone.jpg"])
    assert [bool(source.fault) for source in found] == [False, True]


def test_a_damaged_journal_names_what_its_other_lines_name(files: Callable[..., None]) -> None:
    files("p/a.jpg", "p/b.jpg")
    with Journal(Path("p")) as journal:
        journal.begin({})
        journal.will_write("a.jpg")
        journal.will_write("b.jpg")
    path = Path("p", JOURNAL)
    path.write_bytes(path.read_bytes().replace(b"b.jpg", b"c.jpg") + b"\xff torn")
    assert paths("p") == ["p/b.jpg"]


def test_patterns(files: Callable[..., None]) -> None:
    files("p/a1.jpg", "p/a2.jpg", "p/a3.txt", "p/d/a4.jpg", "p/a[1].png")
    assert paths("p/a*") == ["p/a1.jpg", "p/a2.jpg", "p/a[1].png"]
    assert paths("p/**/*.jpg") == ["p/a1.jpg", "p/a2.jpg", "p/d/a4.jpg"]
    assert names("p/**/*.jpg") == ["a1.jpg", "a2.jpg", "d/a4.jpg"]
    assert paths("p/a[1].png") == ["p/a[1].png"], "a file of that name comes before the pattern"
    files("q [1]/a.jpg", "q [1]/d/b.jpg")
    assert paths("q [1]/*.jpg") == ["q [1]/a.jpg"], "so does a folder"
    assert names("q [1]/*/*.jpg") == ["d/b.jpg"]


def test_the_order_is_that_of_the_command_and_nothing_comes_twice(
    files: Callable[..., None],
) -> None:
    files("p/b.jpg", "p/a.jpg", "q/c.jpg")
    assert paths("q", "p/b.jpg", "p", "./q/c.jpg") == ["q/c.jpg", "p/b.jpg", "p/a.jpg"]
    assert names("q", "p/b.jpg", "p") == ["q/c.jpg", "p/b.jpg", "p/a.jpg"]


def test_numbers_in_names_are_in_order_by_value(files: Callable[..., None]) -> None:
    """As frames of a video are that were written without leading zeros."""
    wanted = ["p/2.jpg", "p/10.jpg", "p/a1b2.jpg", "p/a1b10.jpg", "p/a01b11.jpg", "p/b.jpg"]
    files(*reversed(wanted))
    assert paths("p") == paths("p/*.jpg") == wanted
    files(*(f"q/d{row}/{1:0{row}}.jpg" for row in (1, 2, 10, 200)))
    assert names("q", recursive=True)[-1] == f"d200/{1:0200}.jpg"
    assert [name.split("/")[0] for name in names("q/**/*.jpg")] == ["d1", "d2", "d10", "d200"]


def test_a_list_on_standard_input(files: Callable[..., None]) -> None:
    files("a b.jpg", "c.jpg", "p/d.jpg")
    listed = io.StringIO("\ufeffa b.jpg\n\nc.jpg\r\np\n")
    found = find_sources(["-"], listed=listed)
    assert [source.path for source in found] == ["a b.jpg", "c.jpg", "p/d.jpg"]


def test_blanks_and_comments_of_a_list_name_nothing(files: Callable[..., None]) -> None:
    """Unless a file is called so."""
    files("a.jpg", "b.jpg ", "# c.jpg", "#d.jpg", " e.jpg")
    lines = ["# of May", "a.jpg  ", "  ", "\t", "b.jpg ", "# c.jpg", "  #d.jpg", " e.jpg", " a.jpg"]
    found = find_sources(["-"], listed=io.StringIO("\r\n".join(lines)))
    assert [source.path for source in found] == ["a.jpg", "b.jpg ", "# c.jpg", "#d.jpg", " e.jpg"]
    assert not any(source.fault for source in found)


def test_a_file_that_is_named_counts_whatever_its_ending(files: Callable[..., None]) -> None:
    files("p/notes.txt", "p/a.jpg")
    assert paths("p/notes.txt", "p") == ["p/notes.txt", "p/a.jpg"]


def test_a_list_that_is_named_is_no_picture(files: Callable[..., None]) -> None:
    """As YOLO's predict takes one, and Darknet's `train.txt`; a text of another kind stays one."""
    files("a.jpg", "my photos.txt", "odd.txt", "notes.TXT", "more.jpg")
    Path("my photos.txt").write_text("\ufeff\n# of May\r\nholiday photos/a (1).JPG\r\n")
    Path("odd.txt").write_bytes(b"\xff\xd8 a.jpg is here\n")
    Path("notes.TXT").write_text("film.mp4\n")
    found = find_sources(["my photos.txt", "a.jpg", "odd.txt", "notes.TXT"])
    assert [bool(source.fault) for source in found] == [True, False, False, True]
    assert found[0].fault.endswith("unidet detect - < 'my photos.txt'")


def test_what_is_missing_is_a_fault_beside_what_is_there(files: Callable[..., None]) -> None:
    files("a.jpg")
    found = find_sources(["no.jpg", "a.jpg", "no*.jpg"])
    assert [source.fault for source in found] == [
        "no such file or folder",
        "",
        "no image has such a name",
    ]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["no.jpg"], r"^no\.jpg: no such file or folder$"),
        (
            ["rtsp://h:554/live?x=[1]"],
            r"^rtsp://h:554/live\?x=\[1\]: is an address, and files alone",
        ),
        (["0"], r"^0: no such file or folder; a camera is not read"),
        (["no.jpg", "x*"], r"^no\.jpg: no such file or folder \(and 1 others\)$"),
        (["p"], r"^p: no images there; -r looks into their folders too$"),
    ],
)
def test_nothing_at_all_is_refused(
    given: list[str], complaint: str, files: Callable[..., None]
) -> None:
    files("p/d/a.jpg", "p/notes.txt")
    with pytest.raises(UserError, match=complaint):
        find_sources(given)


def test_videos_are_told_by_their_ending(files: Callable[..., None]) -> None:
    files("a.MP4", "b.jpg")
    assert [source.is_video for source in find_sources(["a.MP4", "b.jpg"])] == [True, False]


@pytest.mark.parametrize(
    ("name", "content", "is_video"),
    [
        # whatever the suffix, but for those of images
        ("a", b"\0\0\0\x18ftypisom\0\0\2\0", True),
        ("b.ts", (b"G" + bytes(187)) * 2, True),
        ("c.dat", b"\x1a\x45\xdf\xa3" + bytes(40), True),
        ("d.divx", b"RIFF\0\0\0\0AVI LIST", True),
        ("e.FLV", b"", True),
        ("f.jpg", b"\0\0\0\x18ftypisom\0\0\2\0", False),
        ("g", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", False),
        ("h.ts", b"export const a = 1", False),
    ],
)
def test_videos_of_other_endings_are_told_by_their_content(
    name: str, content: bytes, is_video: bool, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    (source,) = find_sources([str(tmp_path / name)])
    assert source.is_video == is_video


def test_a_list_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("photos/a.jpg\n")
    with pytest.raises(UserError) as caught:
        find_sources(["list.txt"])
    assert str(caught.value) == (
        "list.txt: is text, which begins with 'photos/a.jpg'; a list of images is given on "
        "standard input: unidet detect - < list.txt"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.jpg\0b\nc.jpg\0", ["a.jpg", "b\nc.jpg"]),  # of find -print0
        ("a.jpg\r\nb\nc.jpg", ["a.jpg", "b", "c.jpg"]),
    ],
)
def test_lists_parted_by_lines_or_nul_bytes(
    text: str, found: list[str], files: Callable[..., None]
) -> None:
    files("a.jpg", "b\nc.jpg", "b", "c.jpg")
    assert [source.path for source in find_sources(["-"], listed=io.StringIO(text))] == found


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "^-: the list on standard input is empty$"),
        ("\n\r\n", "^-: the list on standard input is empty$"),
        ("\udcff\udcfea\0.\0", "^-: the list is text in UTF-16; write it in UTF-8$"),
    ],
)
def test_lists_that_name_nothing(text: str, complaint: str, files: Callable[..., None]) -> None:
    files("a.jpg")
    with pytest.raises(UserError, match=complaint):
        find_sources(["-"], listed=io.StringIO(text))


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("p/a.JPG", "p/a.jpg"),
        ("'p/a.jpg'", "p/a.jpg"),
        ("p/a.jpg ", "p/a.jpg"),
        ("p\\a.jpg", "p/a.jpg"),
        ("p/Käse.png", "p/Ka\u0308se.png"),
    ],
)
def test_a_missing_file_that_is_there_in_another_spelling(
    given: str, there: str, files: Callable[..., None]
) -> None:
    files("p/a.jpg", "p/Ka\u0308se.png", "p/b.jpg")
    with pytest.raises(UserError) as caught:
        find_sources([given])
    assert str(caught.value) == f"{given}: no such file or folder; there is {there!r}"


def test_a_pipe_is_no_picture(files: Callable[..., None]) -> None:
    """Opening one would wait for ever."""
    files("p/a.png")
    os.mkfifo("p/b.jpg")
    faults = [source.fault for source in find_sources(["p"])]
    assert faults == ["", "is no file, but a pipe, a socket or a device"]
