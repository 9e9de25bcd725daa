"""`unidet detect` around a detector made by hand: what it reads, leaves, resumes and survives."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disks import no_room
from PIL import Image

from unidet.console import interrupt
from unidet.errors import UserError
from unidet.evaluation.evaluate import evaluate
from unidet.formats.annotations import read_annotations
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results
from unidet.pictures.detect_files import FileDetector, Summary, Wanted, detect_files
from unidet.pictures.detections import Detections
from unidet.pictures.journal import JOURNAL, Journal
from unidet.pictures.naming import DRAWN_AS
from unidet.pictures.outputs import save_picture
from unidet.pictures.result_files import Ids, Row, require_ids_of, write_results
from unidet.pictures.sources import find_sources
from unidet.pictures.videos import film_of, frame_rate, video_file

NAMES = ("cat", "dog")


class WholePicture:
    """Finds a dog of score 0.75 that fills the image, reading two images ahead."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, images: Iterable[np.ndarray]) -> Iterator[Detections]:
        batch = []
        for image in images:
            self.seen.append(image.shape)
            batch.append(self._find(image))
            if len(batch) == 2:
                yield from batch
                batch = []
        yield from batch

    def _find(self, image: np.ndarray) -> Detections:
        height, width, _ = image.shape
        return Detections(
            np.array([[0, 0, width, height]], np.float32),
            np.array([0.75], np.float32),
            np.array([1]),
            NAMES,
            (height, width),
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two images of 40x30 and one of 20x50 below `photos`."""
    monkeypatch.chdir(tmp_path)
    for name, size in {"x.jpg": (40, 30), "a/x.jpg": (20, 50), "y.png": (40, 30)}.items():
        grey(Path("photos", name), *size)
    return tmp_path


def grey(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", (width, height), "grey").save(path)


def detect(
    *given: str,
    finds: Callable | None = None,
    identity: dict | None = None,
    propose: Callable | None = None,
    folder: str = "out",
    **wishes: Any,
) -> Summary:
    sources = find_sources(given or ("photos",), recursive=True)
    detector = FileDetector(NAMES, finds or WholePicture(), propose, identity or {})
    return detect_files(sources, lambda: detector, Wanted(Path(folder), **wishes))


def content(name: str) -> Any:
    return json.loads(Path("out", name).read_text())


def left() -> list[str]:
    files = (path for path in Path("out").rglob("*") if path.is_file())
    return sorted(str(path.relative_to("out")) for path in files if path.name != JOURNAL)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("format", ["csv", "labelme"])
def test_a_name_that_is_no_text_is_told_before_detection(format: str) -> None:
    name = os.fsdecode(b"photos/\xff.jpg")
    grey(Path(name), 40, 30)
    with pytest.raises(UserError, match="hold names as text in UTF-8"):
        detect(name, format=format)
    assert not Path("out").exists()
    assert detect(name).pictures == 1


@pytest.mark.usefixtures("folder")
def test_pictures_keep_their_names_formats_and_sizes() -> None:
    summary = detect()
    assert summary == Summary(pictures=3, boxes=3)
    assert left() == ["a/x.jpg", "detections.json", "images.json", "x.jpg", "y.png"]
    for name, kind, size in (("x.jpg", "JPEG", (40, 30)), ("a/x.jpg", "JPEG", (20, 50))):
        with Image.open(Path("out", name)) as drawn:
            assert (drawn.format, drawn.size) == (kind, size)
    with Image.open("out/y.png") as drawn:
        assert drawn.format == "PNG"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("given", ["photos", "photos/**/*.*"])
def test_results_beside_the_images_are_no_images_of_the_next_run(given: str) -> None:
    for wishes in ({"drawings": False}, {"folder": "photos/out", "crops": True}):
        assert detect(given, **{"folder": "photos", **wishes}).pictures == 3
        assert detect(given, **{"folder": "photos", **wishes}).resumed == 3
    assert detect(given).pictures == 3


@pytest.mark.usefixtures("folder")
def test_results_are_taken_by_evaluate_and_by_pycocotools() -> None:
    from pycocotools.coco import COCO

    detect()
    assert content("images.json") == {
        "info": {},
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [],
        "images": [
            {"id": 1, "file_name": "x.jpg", "width": 40, "height": 30},
            {"id": 2, "file_name": "y.png", "width": 40, "height": 30},
            {"id": 3, "file_name": "a/x.jpg", "width": 20, "height": 50},
        ],
    }
    assert content("detections.json")[2] == {
        "image_id": 3,
        "category_id": 2,
        "bbox": [0, 0, 20, 50],
        "score": 0.75,
    }
    truth = read_ground_truth(Path("out/images.json"))
    results = read_results(Path("out/detections.json"), truth)
    assert len(results) == 3
    assert evaluate(truth, results, "coco")["AP"] == -1, "nothing is annotated"
    with redirect_stdout(StringIO()):
        loaded = COCO("out/images.json").loadRes("out/detections.json")
    assert len(loaded.anns) == 3


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("images", "categories", "says"),
    [
        ({1: "x.jpg", 2: "y.png", 3: "a/x.jpg"}, {1: "cat", 2: "dog"}, ""),
        (
            {1: "cameras/a/x.jpg", 2: "x.jpg", 3: "y.png"},
            {1: "cat", 2: "dog"},
            "'x.jpg' is 1 .* 2 ",
        ),
        ({0: "y.png", 2: "z.png"}, {1: "cat", 2: "dog"}, "image 'y.png' is 2 there, 0 in .*truth"),
        ({2: "y.png", 9: "z.png"}, {0: "Cat", 1: "dog"}, "category 'cat' is 1 there, 0 in .*truth"),
        ({1: "other.jpg", 2: "names.jpg"}, {1: "bird"}, ""),
    ],
)
def test_results_with_ids_of_their_own_are_known(
    images: dict[int, str], categories: dict[int, str], says: str
) -> None:
    """Both number from 1 upwards, and so the ids alone tell nothing."""
    truth = {
        "images": [{"id": number, "file_name": name} for number, name in images.items()],
        "categories": [{"id": number, "name": name} for number, name in categories.items()],
        "annotations": [],
    }
    Path("truth.json").write_text(json.dumps(truth))
    results = Path("out/detections.json")
    read = read_annotations(Path("truth.json"))
    detect()
    if not says:
        require_ids_of(read, results)
        return
    with pytest.raises(UserError, match=f"{says}.*unidet detect … --annotations truth.json$"):
        require_ids_of(read, results)
    require_ids_of(read, results.rename("others.json"))
    if {"cat", "dog"} == {*categories.values()}:
        detect(annotations=Path("truth.json"))
        require_ids_of(read, results)
    Path("out", JOURNAL).unlink()
    Path("out/images.json").write_text("of another program")
    require_ids_of(read, results)


@pytest.mark.usefixtures("folder")
def test_results_by_the_ids_of_annotations() -> None:
    names = {7: "x.jpg", 8: "a/x.jpg", 9: "elsewhere/y.png"}
    annotations = {
        "images": [{"id": number, "file_name": name} for number, name in names.items()],
        "categories": [{"id": 18, "name": "Dog"}, {"id": 17, "name": "cat"}],
        "annotations": [],
    }
    Path("truth.json").write_text(json.dumps(annotations))
    detect(annotations=Path("truth.json"))
    assert [image["id"] for image in content("images.json")["images"]] == [7, 9, 8]
    assert {record["category_id"] for record in content("detections.json")} == {18}
    annotations["categories"].pop()
    Path("truth.json").write_text(json.dumps(annotations))
    remedy = r"truth\.json: has no category 'cat', .* has alone: --vocab \"dog\""
    with pytest.raises(UserError, match=remedy):
        detect(annotations=Path("truth.json"))
    grey(Path("photos/other.jpg"), 4, 4)
    annotations["categories"].append({"id": 17, "name": "cat"})
    Path("truth.json").write_text(json.dumps(annotations))
    detect(annotations=Path("truth.json"))
    assert len(content("images.json")["images"]) == 3
    with pytest.raises(UserError, match=r"truth\.json: has no image other\.jpg, nor any other"):
        detect("photos/other.jpg", annotations=Path("truth.json"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("yolo", ["classes.txt", "labels/a/x.txt", "labels/x.txt", "labels/y.txt"]),
        ("voc", ["annotations/a/x.xml", "annotations/x.xml", "annotations/y.xml"]),
        ("labelme", ["labelme/a/x.json", "labelme/x.json", "labelme/y.json"]),
        ("csv", ["detections.csv"]),
    ],
)
def test_formats(form: str, files: list[str]) -> None:
    assert detect(format=form, drawings=False) == Summary(pictures=3, boxes=3)
    assert left() == files
    if form == "labelme":
        assert json.loads(Path("out/labelme/a/x.json").read_text())["imagePath"] == (
            "../../../photos/a/x.jpg"
        )
    if form == "csv":
        with open("out/detections.csv") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["image"] for row in rows] == ["photos/x.jpg", "photos/y.png", "photos/a/x.jpg"]
        assert (rows[2]["name"], rows[2]["x2"], rows[2]["y2"]) == ("dog", "20.00", "50.00")


def test_a_table_holds_no_formula(tmp_path: Path) -> None:
    found = Detections(np.zeros((1, 4)), np.zeros(1), np.zeros(1, int), ("=1+1",), (9, 9))
    rows = iter([Row("=2.png", "=2.png", found)])
    write_results("csv", tmp_path.joinpath, rows, found.names, Ids((1,), {}))
    cells = (tmp_path / "detections.csv").read_text().splitlines()[1].split(",")
    assert (cells[0], cells[3]) == ("'=2.png", "'=1+1")


@pytest.mark.usefixtures("folder")
def test_what_is_done_is_not_done_again() -> None:
    detect()
    before = {name: Path("out", name).read_bytes() for name in left()}
    detector = WholePicture()
    summary = detect(finds=detector)
    assert detector.seen == []
    assert summary == Summary(pictures=3, boxes=3, resumed=3)
    assert {name: Path("out", name).read_bytes() for name in left()} == before
    grey(Path("photos/y.png"), 60, 30)
    assert detect(finds=detector).resumed == 2
    assert detector.seen == [(30, 60, 3)]
    assert content("images.json")["images"][1]["width"] == 60
    detect(finds=detector, identity={"threshold": 0.5})
    assert len(detector.seen) == 4


@pytest.mark.usefixtures("folder")
def test_what_changes_meanwhile_is_done_again(capsys: pytest.CaptureFixture[str]) -> None:
    def changing(images: Iterable[np.ndarray]) -> Iterator[Detections]:
        for found in WholePicture()(images):
            os.utime("photos/y.png", ns=(0, 1))
            yield found

    detect("photos/x.jpg", "photos/y.png", finds=changing)
    assert detect("photos/x.jpg", "photos/y.png").resumed == 1
    sources = find_sources(["photos/x.jpg", "photos/y.png"])
    Path("photos/x.jpg").unlink()
    detector = FileDetector(NAMES, WholePicture(), None, {})
    gone = detect_files(sources, lambda: detector, Wanted(Path("out")))
    assert gone.faults == 1
    assert "photos/x.jpg: No such file or directory; passed over" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_broken_pictures_are_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/broken.jpg").write_bytes(b"no image")
    Path("notes.txt").write_text("no image")
    summary = detect("photos", "notes.txt", "no.jpg")
    assert summary == Summary(pictures=3, boxes=3, faults=3)
    told = capsys.readouterr().err
    assert (
        "photos/broken.jpg: is text, which begins with 'no image'; replace it; passed over" in told
    )
    assert "notes.txt: is text, which begins with 'no image'; a list of images is given" in told
    assert "no.jpg: no such file or folder; passed over" in told
    assert len(content("images.json")["images"]) == 3


@pytest.mark.usefixtures("folder")
def test_an_interrupted_run_leaves_whole_files_and_is_resumed() -> None:
    for number in range(8):
        grey(Path(f"photos/b/{number}.png"), 10, 10)

    class Stopping(WholePicture):
        def __call__(self, images: Iterable[np.ndarray]) -> Iterator[Detections]:
            for count, found in enumerate(super().__call__(images)):
                if count == 4:
                    interrupt._requested.set()
                yield found

    try:
        with pytest.raises(interrupt.Interrupted):
            detect(finds=Stopping())
    finally:
        interrupt._requested.clear()
    assert len(content("detections.json")) == 5
    assert len(content("images.json")["images"]) == 5
    assert not [name for name in left() if Path(name).name.startswith(".")]
    detector = WholePicture()
    assert detect(finds=detector) == Summary(pictures=11, boxes=11, resumed=5)
    assert len(detector.seen) == 6


@pytest.mark.usefixtures("folder")
def test_a_source_is_not_replaced() -> None:
    before = Path("photos/x.jpg").read_bytes()
    with pytest.raises(UserError, match=r"photos/x\.jpg would replace an image"):
        detect("photos/x.jpg", folder="photos")
    assert Path("photos/x.jpg").read_bytes() == before


@pytest.mark.usefixtures("folder")
def test_a_foreign_file_is_not_replaced() -> None:
    Path("out").mkdir()
    Path("out/detections.json").write_text("mine")
    with pytest.raises(UserError, match=r"detections\.json is there and was not made by"):
        detect()
    assert Path("out/detections.json").read_text() == "mine"
    assert left() == ["detections.json"]


@pytest.mark.usefixtures("folder")
def test_a_video_comes_out_as_a_video(make_video: Callable[..., None]) -> None:
    make_video(Path("photos/film.avi"), 12.0)
    detector = WholePicture()
    assert detect("photos/film.avi", "photos/x.jpg", finds=detector).pictures == 4
    film = film_of(Path("out/film.avi"))
    assert (film.frames, film.size_hw) == (3, (48, 64))
    assert frame_rate(Path("out/film.avi")) == 12.0
    names = [image["file_name"] for image in content("images.json")["images"]]
    assert names == ["film.avi#1", "film.avi#2", "film.avi#3", "x.jpg"]
    assert detect("photos/film.avi", "photos/x.jpg", finds=detector).resumed == 2
    assert len(detector.seen) == 4


@pytest.mark.usefixtures("folder")
def test_a_video_of_which_a_frame_could_not_be_noted_is_not_done(
    make_video: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(Path("v.mp4"))
    add = Journal.add
    faults = [UserError("the disk is full")]

    def add_but_once(journal: Journal, key: str, record: Any) -> list[str]:
        if faults:
            raise faults.pop()
        return add(journal, key, record)

    monkeypatch.setattr(Journal, "add", add_but_once)
    with pytest.raises(UserError, match="the disk is full"):
        detect("v.mp4")
    assert left() == []
    assert detect("v.mp4") == Summary(pictures=3, boxes=3)


@pytest.mark.parametrize("kind", ["drawings", "crops"])
def test_no_output_replaces_another_where_the_disk_knows_no_capitals(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("unidet.pictures.spelling.tells_apart", lambda folder: False)
    grey(Path("photos/Y.png"), 40, 30)
    wanted = Wanted(folder / "out", drawings=kind == "drawings", crops=kind == "crops")
    with pytest.raises(UserError, match=r"its disk takes (crops/)?\w(\.png)? and (crops/)?\w"):
        detect_files(find_sources(["photos"]), WholePicture, wanted)


def test_a_list_that_finds_no_room_is_named(tmp_path: Path) -> None:
    with no_room(), pytest.raises(UserError, match=r"/images\.json: cannot be written"):
        write_results("coco", tmp_path.joinpath, iter(()), NAMES, Ids.counted(NAMES))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", sorted(DRAWN_AS))
def test_a_drawing_that_finds_no_room_is_not_there(tmp_path: Path, suffix: str) -> None:
    """Also where the disk takes all but its last bytes."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    whole, target = tmp_path / f"whole{suffix}", tmp_path / f"drawn{suffix}"
    save_picture(Image.fromarray(noise), whole)
    with (
        no_room(whole.stat().st_size - 9),
        pytest.raises(UserError, match=f"/drawn{suffix}: cannot be written"),
    ):
        save_picture(Image.fromarray(noise), target)
    assert list(tmp_path.iterdir()) == [whole]
    save_picture(Image.fromarray(noise), target)
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("folder")
def test_a_video_that_breaks_off_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    film = Path("photos/film.avi")
    with video_file(film, 5.0) as write:
        for frame in np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), np.uint8):
            write(frame)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    for _ in range(2):  # the second is resumed
        summary = detect("photos/film.avi")
        assert (summary.partial, summary.faults) == (1, 0)
    said = capsys.readouterr().err
    assert f"film.avi: breaks off: {summary.pictures} of the 12 frames" in said


@pytest.mark.usefixtures("folder")
def test_a_damaged_frame_costs_itself_alone(
    make_video: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    film = Path("photos/film.avi")
    make_video(film)
    content = bytearray(film.read_bytes())
    second = content.index(b"\xff\xd8\xff", content.index(b"\xff\xd8\xff") + 3)
    content[second : second + 200] = b"\x55" * 200
    film.write_bytes(content)
    for _ in range(2):  # the second is resumed
        summary = detect("photos/film.avi", format="yolo")
        assert (summary.pictures, summary.partial) == (2, 1)
    assert "film.avi: is damaged: frame 2 cannot be decoded" in capsys.readouterr().err
    assert left() == [
        *("classes.txt", "film.avi", "labels/film/000001.txt", "labels/film/000003.txt")
    ]
    assert film_of(Path("out/film.avi")).frames == 2


@pytest.mark.usefixtures("folder")
def test_frames_have_labels_and_crops_of_their_own(make_video: Callable[..., None]) -> None:
    make_video(Path("photos/film.avi"))
    detect("photos/film.avi", format="yolo", crops=True)
    assert left() == [
        "classes.txt",
        *(f"crops/film/{frame:06d}_01_dog.jpg" for frame in (1, 2, 3)),
        "film.avi",
        *(f"labels/film/{frame:06d}.txt" for frame in (1, 2, 3)),
    ]


@pytest.mark.usefixtures("folder")
def test_a_broken_video_is_passed_over() -> None:
    Path("photos/film.avi").write_bytes(b"no video")
    assert detect("photos") == Summary(pictures=3, boxes=3, faults=1)
    assert "film.avi" not in left()


@pytest.mark.usefixtures("folder")
def test_crops_of_a_former_run_go() -> None:
    detect("photos/x.jpg", crops=True, drawings=False)
    assert left() == ["crops/x/01_dog.jpg", "detections.json", "images.json"]
    with Image.open("out/crops/x/01_dog.jpg") as crop:
        assert crop.size == (40, 30)

    def nothing(images: Iterable[np.ndarray]) -> Iterator[Detections]:
        for found in WholePicture()(images):
            yield found.take(np.zeros(1, bool))

    Path("out/crops/x/02_mine.jpg").touch()
    detect("photos/x.jpg", crops=True, drawings=False, finds=nothing, identity={"other": 1})
    assert left() == ["crops/x/02_mine.jpg", "detections.json", "images.json"]
    assert content("detections.json") == []


@pytest.mark.usefixtures("folder")
def test_a_folder_holds_what_its_last_run_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the same images; those of others stay, and so does what others have written."""
    detect(crops=True)
    Path("out/crops/x/mine.txt").touch()
    capsys.readouterr()
    detect("photos/x.jpg", "photos/y.png", format="yolo")
    assert left() == [
        *("a/x.jpg", "classes.txt", "crops/a/x/01_dog.jpg", "crops/x/mine.txt"),
        *("labels/x.txt", "labels/y.txt", "x.jpg", "y.png"),
    ]
    told = "out: 4 files of earlier runs for these images removed"
    assert told in capsys.readouterr().err
    detect(format="csv", drawings=False)
    assert left() == ["crops/x/mine.txt", "detections.csv"]
    assert not Path("out/labels").exists()


@pytest.mark.usefixtures("folder")
def test_a_drawing_that_another_picture_has_taken_is_no_longer_one_s_own() -> None:
    """`x.jpg` of one folder after that of another."""
    detect("photos/x.jpg")
    detect("photos/a/x.jpg")
    assert detect("photos/x.jpg").resumed == 0
    detect("photos/a/x.jpg", format="csv", drawings=False)
    assert left() == ["detections.csv", "x.jpg"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("names", "drawings", "told"),
    [
        (("cat", "собака"), True, ""),
        (("猫", "dog"), True, "in '猫', as"),
        (("cat", "猫", "狗"), True, "in '猫' and 1 more, as"),
        (("cat", "猫"), False, ""),
    ],
)
def test_names_that_the_font_of_drawings_lacks_are_told(
    names: tuple[str, ...], drawings: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = FileDetector(names, WholePicture(), None, {})
    wanted = Wanted(Path("out"), drawings=drawings)
    detect_files(find_sources(["photos"]), lambda: detector, wanted)
    notes = [line for line in capsys.readouterr().err.splitlines() if "show boxes" in line]
    assert len(notes) == bool(told)
    assert told in "".join(notes)


@pytest.mark.usefixtures("folder")
def test_proposals_are_drawn() -> None:
    def propose(image: np.ndarray) -> np.ndarray:
        return np.array([[100, 100, 150, 150, 1.0]], np.float32)

    grey(Path("large.png"), 200, 200)
    detect("large.png", propose=propose)
    with Image.open("out/large.png") as drawn:
        assert drawn.getpixel((125, 100)) == (253, 231, 37)


@pytest.mark.usefixtures("folder")
def test_of_a_large_picture_the_network_sees_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """400x300 is halved to at most 40,000 pixels for the network, and drawn as it is."""
    monkeypatch.setattr("unidet.pictures.shots.NETWORK_PIXELS", 40_000)
    grey(Path("large.jpg"), 400, 300)
    detector = WholePicture()
    detect("large.jpg", finds=detector)
    assert detector.seen == [(150, 200, 3)]
    assert content("detections.json")[0]["bbox"] == [0, 0, 400, 300]
    with Image.open("out/large.jpg") as drawn:
        assert drawn.size == (400, 300)


@pytest.mark.usefixtures("folder")
def test_a_very_large_picture_is_drawn_smaller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("unidet.pictures.shots.DRAWN_PIXELS", 40_000)
    monkeypatch.setattr("unidet.pictures.outputs.DRAWN_PIXELS", 40_000)
    monkeypatch.setattr("unidet.pictures.shots.NETWORK_PIXELS", 10_000)
    grey(Path("large.jpg"), 400, 300)
    detect("large.jpg")
    assert "large.jpg: is drawn smaller than its 400x300 pixels" in capsys.readouterr().err
    assert content("detections.json")[0]["bbox"] == [0, 0, 400, 300]
    with Image.open("out/large.jpg") as drawn:
        assert drawn.size == (200, 150)


@pytest.mark.usefixtures("folder")
def test_memory_does_not_grow_with_the_number_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 30 images of 3 MB, few are alive: 6 MB wait to be seen, two are, eight are written."""
    monkeypatch.setattr("unidet.pictures.detect_files.READ_AHEAD", 14_000_000)
    for number in range(30):
        grey(Path(f"large/{number:02d}.jpg"), 1000, 1000)
    detect("photos")
    tracemalloc.start()
    try:
        detect("large", folder="large_out")
        assert tracemalloc.get_traced_memory()[1] < 48e6
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("folder")
def test_a_fault_of_the_detector_is_raised() -> None:
    def failing(images: Iterable[np.ndarray]) -> Iterator[Detections]:
        yield next(WholePicture()(images))
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        detect(finds=failing)
    assert detect().resumed == 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "changed",
    [
        {"labels": [2]},
        {"labels": [-1]},
        {"labels": [2**70]},
        {"scores": []},
        {"scores": ["x"]},
        {"boxes": [[1, 2]]},
        {"boxes": [[float("nan")] * 4]},
        {"size_hw": [30]},
        {"frames": 10**12, "lost": []},
        {"frames": 1},
        {"frames": "x", "lost": []},
    ],
)
def test_a_record_that_no_run_has_written_is_refused(changed: dict) -> None:
    detect()
    with Journal(Path("out")) as journal:
        record = journal.record("photos/y.png")
        assert record is not None
        journal.add("photos/y.png", record | changed)
    with pytest.raises(UserError, match=rf"out/{JOURNAL}: is damaged, or of another version"):
        detect()


@pytest.fixture
def mine(folder: Path) -> Path:
    """A file of the user's, in a folder to which a link of the output folder leads."""
    mine = folder / "mine" / "01_dog.jpg"
    grey(mine, 3, 3)
    return mine


def name_as_output(name: str) -> None:
    """An earlier run's journal is changed to name this file as an output of y.png."""
    with Journal(Path("out")) as journal:
        record = journal.record("photos/y.png")
        assert record is not None
        journal.begin({"other": "settings"})
        journal.will_write(name)
        journal.add("photos/y.png", record | {"files": [*record["files"], name]})


def test_a_file_behind_a_link_is_not_removed(mine: Path) -> None:
    detect()
    name_as_output("linked/01_dog.jpg")
    Path("out/linked").symlink_to(mine.parent)
    before = mine.read_bytes()
    detect()
    assert mine.read_bytes() == before


def test_a_crop_behind_a_link_is_not_removed(mine: Path) -> None:
    old = mine.with_name("02_dog.jpg")
    grey(old, 3, 3)
    detect(crops=True)
    name_as_output("crops/y/02_dog.jpg")
    Path("out/crops/y/01_dog.jpg").unlink()
    Path("out/crops/y").rmdir()
    Path("out/crops/y").symlink_to(mine.parent)
    with pytest.raises(UserError, match=r"out/crops/y/01_dog\.jpg is or lies behind a link out of"):
        detect(crops=True)
    assert old.exists()


@pytest.mark.parametrize("linked", ["out/a", "out/a/x.jpg"])
def test_no_output_is_written_behind_a_link(mine: Path, linked: str) -> None:
    detect()
    name_as_output("a/x.jpg")
    before = mine.read_bytes()
    Path("out/a/x.jpg").unlink()
    if linked == "out/a":
        Path("out/a").rmdir()
        mine.rename(mine.with_name("x.jpg"))
        Path(linked).symlink_to(mine.parent)
        mine = mine.with_name("x.jpg")
    else:
        Path(linked).symlink_to(mine)
    with pytest.raises(UserError, match=r"out/a/x\.jpg is or lies behind a link out of out"):
        detect()
    assert mine.read_bytes() == before
