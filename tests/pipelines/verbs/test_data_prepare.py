"""`unidet data prepare`: small data sets from a server on the loopback, laid out as real ones."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from commands import complaint_of, exit_status
from loopback import Served, serving
from PIL import Image

from unidet.cli import compose
from unidet.config.compose import compose_prepared, prepared_names
from unidet.data.parts import seeded_rows
from unidet.download import fetch

Files = dict[str, bytes]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(fetch, "_PAUSE", 0)
    with serving() as server:
        yield server


def zipped(files: Files) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return content.getvalue()


def tarred(files: Files, mode: str = "w:gz") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as file:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return content.getvalue()


def annotations(numbers: range, name: str) -> bytes:
    content = {
        "images": [{"id": row, "file_name": name.format(row)} for row in numbers],
        "annotations": [
            {"id": row, "image_id": row, "category_id": 1, "bbox": [1, 1, 5, 5]} for row in numbers
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    return json.dumps(content).encode()


def unchecked(name: str, served: Served, **leaves: str) -> list[str]:
    """Arguments by which a page takes small files, of no size and sha256 in particular."""
    values = [f"host={served.address}"]
    for file in compose_prepared(name, []).files:
        values += [f"files.{file}.bytes=0", f"files.{file}.sha256=''"]
    return values + [f"files.{file}.leaves={{{text}}}" for file, text in leaves.items()]


def images_of(file: Path) -> list[Any]:
    return [image["id"] for image in json.loads(file.read_text())["images"]]


def coco(served: Served, folder: Path) -> tuple[object, ...]:
    """The command's arguments for a COCO of a few images."""
    served.files = {
        "/annotations/annotations_trainval2017.zip": zipped(
            {
                "annotations/instances_train2017.json": annotations(range(6, 9), "{}.jpg"),
                "annotations/instances_val2017.json": annotations(range(2, 4), "{}.jpg"),
                "annotations/captions_val2017.json": b"{}",
            }
        ),
        "/annotations/annotations_trainval2014.zip": zipped(
            {
                "annotations/instances_train2014.json": annotations(range(6, 7), "{}.jpg"),
                "annotations/instances_val2014.json": annotations(range(1, 6), "{}.jpg"),
            }
        ),
        "/zips/val2017.zip": zipped({f"val2017/{row}.jpg": b"x" for row in range(2, 4)}),
        "/zips/val2014.zip": zipped({f"val2014/{row}.jpg": b"x" for row in range(1, 6)}),
    }
    counts = {"val2017": "coco/val2017: 2", "val2014": "coco/images/val2014: 5"}
    page = unchecked("coco", served, **counts)
    return ("data", "prepare", "coco", "--out", folder, *page)


def test_every_page_composes_and_says_what_it_would_fetch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = prepared_names()
    assert names == ["coco", "lvis_v0.5", "lvis_v1", "objects365_v2", "openimages_2019", "voc"]
    for name in names:
        assert exit_status("data", "prepare", name, "--out", tmp_path / "data", "--dry-run") == 0
        assert "http" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", prepared_names())
def test_a_mirror_is_asked_for_every_file_of_a_page(name: str) -> None:
    """`host=` alone for COCO, whose images of 2017 are also those of LVIS."""
    mirror = "http://mirror.example/x"
    hosts = [f"host={mirror}"]
    if name.startswith(("lvis", "openimages")):
        hosts.append(f"images_host={mirror}")
    page = compose_prepared(name, hosts)
    remote = [*page.files.values(), page.patches, page.pictures]
    addresses = [entry.address for entry in remote if entry is not None]
    assert addresses
    assert all(address.startswith(f"{mirror}/") for address in addresses)


def test_coco_is_laid_out_as_the_experiments_read_it(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    assert exit_status(*coco(served, root)) == 0
    data = compose(["experiment=coco_o365", f"data.root={root}"]).data
    for own in (data.training["coco"], data.evaluation["coco_val"]):
        named = json.loads((root / own.annotations).read_text())["images"]
        assert all((root / own.images / image["file_name"]).is_file() for image in named)
    assert images_of(root / data.training["coco"].annotations) == [1, 4, 5]
    assert not (root / "coco/annotations/captions_val2017.json").exists()
    left = sorted(file.name for file in (root / "downloads").iterdir())
    assert [name for name in left if not name.endswith((".sha256", ".lock"))] == []


def test_nothing_is_fetched_or_written_twice(served: Served, tmp_path: Path) -> None:
    command = coco(served, tmp_path)
    assert exit_status(*command) == 0
    mine = tmp_path / "coco/val2017/2.jpg"
    mine.write_bytes(b"mine")
    asked = len(served.asked)
    assert exit_status(*command) == 0
    assert len(served.asked) == asked
    (tmp_path / "coco/val2017/3.jpg").unlink()
    assert exit_status(*command) == 0
    assert [path for path, _ in served.asked[asked:]] == ["/zips/val2017.zip"]
    assert mine.read_bytes() == b"mine"
    assert (tmp_path / "coco/val2017/3.jpg").read_bytes() == b"x"


def test_an_archive_that_a_kill_has_left_is_named(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (*coco(served, tmp_path), "--only", "val2017")
    assert exit_status(*command) == 0
    assert "unpacked already" not in capsys.readouterr().out
    archive = tmp_path / "downloads/val2017.zip"
    archive.touch()
    assert exit_status(*command) == 0
    assert f"{archive}: is unpacked already; it may be removed" in capsys.readouterr().out


def test_one_file_may_be_fetched_alone(served: Served, tmp_path: Path) -> None:
    assert exit_status(*coco(served, tmp_path), "--only", "val2017") == 0
    assert [path for path, _ in served.asked] == ["/zips/val2017.zip"]
    assert not (tmp_path / "coco/annotations").exists()


def test_an_interrupted_download_goes_on(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = coco(served, tmp_path)
    served.breaks["/zips/val2014.zip"] = [100, 0, 0, 0, 0, 0]
    assert exit_status(*command) == 2
    assert "100 bytes are kept, the same command continues" in capsys.readouterr().err
    served.breaks.clear()
    assert exit_status(*command) == 0
    assert served.asked[-1] == ("/zips/val2014.zip", "bytes=100-")


def test_what_was_seen_once_must_come_again(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody published a sha256."""
    command = (*coco(served, tmp_path), "--only", "val2017")
    assert exit_status(*command) == 0
    content = served.files["/zips/val2017.zip"]
    noted = (tmp_path / "downloads/val2017.zip.sha256").read_text()
    assert noted == f"{sha256(content).hexdigest()}  val2017.zip\n"
    (tmp_path / "coco/val2017/2.jpg").unlink()
    served.files["/zips/val2017.zip"] = content + b"other"
    assert exit_status(*command) == 2
    said = capsys.readouterr().err
    assert "the downloaded file has sha256" in said
    assert "delete " in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (zipped({"val2017/2.jpg": b"x"}), "holds 1 file of coco/val2017, fewer than expected"),
        (zipped({"val2017/2.jpg": b"x", "../evil": b""}), "a file outside the folder"),
        (zipped({"val2017/2.jpg": b"x" * 99})[:-30], "is cut off or damaged"),
    ],
)
def test_bad_archives_are_one_line(
    served: Served,
    tmp_path: Path,
    content: bytes,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = (*coco(served, tmp_path), "--only", "val2017")
    served.files["/zips/val2017.zip"] = content
    assert exit_status(*command) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("unidet: ")] == [said[-1]]
    assert says in said[-1]
    assert not (tmp_path / "evil").exists()


def test_the_official_part_of_objects365(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"images/v1/patch{row % 2}/{row}.jpg" for row in range(16)]
    whole = json.loads(annotations(range(16), "{}"))
    for image, name in zip(whole["images"], names, strict=True):
        image["file_name"] = name
    part = seeded_rows(16, 50, 1).tolist()
    lacking = part[0]
    served.files = {
        "/train/zhiyuan_objv2_train.tar.gz": tarred(
            {"zhiyuan_objv2_train.json": json.dumps(whole).encode()}
        )
    }
    for patch in (0, 1):
        own = [row for row in range(16) if row % 2 == patch and row != lacking]
        content = {f"patch{patch}/{row}.jpg": b"%d" % row for row in own}
        served.files[f"/train/patch{patch}.tar.gz"] = tarred(content)
    command = ("data", "prepare", "objects365_v2", "--out", tmp_path, "part.percent=50")
    command = (*command, f"host={served.address}")
    assert exit_status(*command) == 0
    folder = tmp_path / "objects365"
    file = folder / "annotations/zhiyuan_objv2_train.1@50.0.json"
    assert images_of(file) == part
    assert (folder / "annotations/zhiyuan_objv2_train.1@50.0_cat_info.json").is_file()
    pictures = {path.relative_to(folder / "train").as_posix() for path in folder.rglob("*.jpg")}
    assert pictures == {names[row] for row in part[1:]}
    assert (folder / "train" / names[part[1]]).read_bytes() == b"%d" % part[1]
    lacks = f"patch{lacking % 2}.tar.gz: lacks 1 image of the part"
    assert lacks in capsys.readouterr().out
    asked = len(served.asked)
    assert exit_status(*command) == 0
    assert len(served.asked) == asked
    for row in part[1:]:
        (folder / "train" / names[row]).unlink()
    served.files[f"/train/patch{part[1] % 2}.tar.gz"] = tarred({"elsewhere/1.jpg": b""})
    for noted in (tmp_path / "downloads").glob("*.sha256"):
        noted.unlink()
    assert exit_status(*command) == 2
    assert "images of the part, such as" in capsys.readouterr().err.splitlines()[-1]


def test_the_official_part_of_openimages(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [f"{row:x}{row:015x}" for row in range(16)]
    rows = seeded_rows(15, 20, 1).tolist()  # of those with boxes: all but the first
    part = [codes[1:][row] for row in rows]
    head = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf\n"
    boxes = [f"{code},x,/m/2,1,0.25,0.5,0.125,0.75,{row % 2}" for row, code in enumerate(codes[1:])]
    picture = io.BytesIO()
    Image.new("RGB", (40, 32)).save(picture, "JPEG")
    served.files = {
        "/challenge_2019/challenge-2019-train-detection-bbox.csv": (
            head + "\n".join(reversed(boxes))
        ).encode(),
        "/challenge_2019/challenge-2019-classes-description-500.csv": b"/m/1,cat\n/m/2,dog\n",
        "/2018_04/train/train-images-boxable-with-rotation.csv": (
            "ImageID,Subset\n" + "".join(f"{code},train\n" for code in codes)
        ).encode(),
    } | {f"/train/{code}.jpg": picture.getvalue() for code in part[:-1]}
    page = unchecked("openimages_2019", served)
    page += [f"images_host={served.address}", "part.percent=20"]
    assert exit_status("data", "prepare", "openimages_2019", "--out", tmp_path, *page) == 0
    written = json.loads(
        (tmp_path / "openimages/oid_challenge_2019_train_bbox.1@20.0.json").read_text()
    )
    assert [image["file_name"] for image in written["images"]] == [
        f"{code[0]}/{code}.jpg" for code in part[:-1]
    ]
    assert [image["id"] for image in written["images"]] == [row + 1 for row in rows[:-1]]
    assert written["categories"][1] == {"id": 2, "name": "dog", "freebase_id": "/m/2"}
    group = [record for record in written["annotations"] if record.get("iscrowd")]
    assert len(group) == sum(row % 2 for row in rows[:-1])
    first = next(record for record in written["annotations"] if record["image_id"] == rows[0] + 1)
    assert (first["bbox"], first["area"], first["category_id"]) == ([10, 4, 10, 20], 200, 2)
    assert all((tmp_path / "openimages" / f"{code[0]}/{code}.jpg").is_file() for code in part[:-1])
    assert "1 image of the part is not at the server" in capsys.readouterr().out


def test_lvis_shows_the_pictures_of_coco(served: Served, tmp_path: Path) -> None:
    served.files = {
        f"/lvis_v0.5_{part}.json.zip": zipped(
            {f"lvis_v0.5_{part}.json": annotations(range(2), "{}.jpg")}
        )
        for part in ("train", "val")
    }
    (tmp_path / "coco/val2017").mkdir(parents=True)
    (tmp_path / "coco/val2017/0.jpg").write_bytes(b"x")
    page = unchecked("lvis_v0.5", served, val2017="coco/val2017: 1")
    assert exit_status("data", "prepare", "lvis_v0.5", "--out", tmp_path, *page) == 0
    assert images_of(tmp_path / "lvis_v0.5/annotations/lvis_v0.5_val.json") == [0, 1]
    assert (tmp_path / "lvis_v0.5/val2017/0.jpg").read_bytes() == b"x"
    assert not (tmp_path / "lvis_v0.5/train2017").is_symlink()  # of what is not there


def test_both_archives_of_voc_2007_share_a_folder(served: Served, tmp_path: Path) -> None:
    main = "VOCdevkit/VOC2007/ImageSets/Main"
    served.files = {
        f"/voc2007/{name}_06-Nov-2007.tar": tarred(
            {f"{main}/{part}.txt": b"", f"VOCdevkit/VOC2007/JPEGImages/{part}.jpg": b""}, "w"
        )
        for name, part in (("VOCtrainval", "trainval"), ("VOCtest", "test"))
    }
    page = unchecked("voc", served)
    files = ("--only", "trainval2007", "--only", "test2007")
    assert exit_status("data", "prepare", "voc", "--out", tmp_path, *page, *files) == 0
    names = sorted(path.name for path in (tmp_path / "VOCdevkit/VOC2007/JPEGImages").iterdir())
    assert names == ["test.jpg", "trainval.jpg"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("prepare",), "there are coco, lvis_v0.5"),
        (("prepare", "cocco"), "did you mean 'coco'?"),
        (("prepare", "coco", "--only", "val201"), "did you mean 'val2017'?"),
        (("prepare", "coco", "host=ftp://x"), "files.val2017.address: String should match"),
        (("prepare", "coco", "host=http://me:mine@x"), "got 'http://***@x/"),
        (("prepare", "coco", "files.val2017.byte=1"), "files.val2017 has address, into, leaves"),
        (("prepare", "coco", "hosts=x"), "the configuration has files, host, images_host, links"),
        (("prepare", "coco", "--out", "file/x"), "file is not a folder"),
        (("check", "coco"), "data check: coco: images and labels are given as --images FOLDER"),
        (("check", "--dry-run"), "data check: --only and --dry-run belong to prepare"),
        (
            ("prepare", "coco", "--to", "yolo"),
            "takes no --images, --annotations, --format and --to",
        ),
    ],
)
def test_what_cannot_be_prepared_is_one_line(
    tmp_path: Path,
    arguments: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert says in complaint_of("data", capsys, *arguments)
