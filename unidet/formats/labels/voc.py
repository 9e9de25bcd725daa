"""Pascal VOC: an XML file per image, and lists of the parts in `ImageSets/Main`.

Pixels are counted from 1, and the corners are inside the box (VOC devkit): pixel n is from n - 1 to
n. `difficult` boxes become crowds: VOC excludes them from training and evaluation, and so does
COCO AP.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from unidet.errors import UserError
from unidet.formats.labels.records import (
    PARTS,
    TRAIN,
    VAL,
    Box,
    Labelled,
    Labels,
    Notes,
    Owners,
    Pictures,
    Quad,
    RecordFault,
    Refuse,
    around,
    by_part,
    by_picture,
    flag,
    label_files,
    leaving_out,
    name_of,
    names_met,
    number,
    picture_of_file,
    require_own_files,
    size_or_header,
    stem_of,
    strictly,
    text_in,
)
from unidet.formats.labels.turning import turned
from unidet.formats.labels.whole_files import bytes_in
from unidet.formats.names import composed

_MAIN = Path("ImageSets", "Main")
_OF_CLASS = re.compile(r"\s+-?[01]$")
"""End of a line in the devkit's lists of a class."""
_ENCODING = re.compile(rb"\s*<\?xml[^>]*?encoding=[\"']([\w.-]+)")


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """Read all XML files below a folder, or one file."""
    files = sorted(label_files(place, "*.xml"))
    notes = Notes()
    parts = _parts(place, files, notes)
    below = place.parent if place.is_file() else place
    images = []
    owners = Owners()
    for file in files:
        with leaving_out(refuse):
            root = root_of(file)
            if root.tag != "annotation" and file != place and not pictures.beside(file, place):
                notes.add("XML file without <annotation>: passed over", str(file))
                continue
            image = _image(file, root, below, pictures, parts.get(str(file), ""), notes)
            owners.add(image.file_name, str(file))
            images.append(image)
    return Labels(names_met(images), tuple(images), notes.findings)


def root_of(file: Path) -> Element:
    """The root element of an XML file; RecordFault where it is not XML."""
    try:
        content = bytes_in(file)
        declared = _ENCODING.match(content)
        if declared is None:
            return ElementTree.fromstring(content)
        # decoded by Python, because the parser supports few multi-byte encodings
        return ElementTree.fromstring(content.decode(declared[1].decode()))
    except ElementTree.ParseError as error:
        raise RecordFault(str(file), f"must be whole XML ({error})") from None
    except (UnicodeError, LookupError) as error:
        raise RecordFault(
            str(file), f"must be text in the encoding it declares ({error})"
        ) from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None


def _image(
    file: Path, root: Element, below: Path, pictures: Pictures, part: str, notes: Notes
) -> Labelled:
    if root.tag != "annotation":
        raise RecordFault(str(file), "must be an <annotation> of Pascal VOC", f"<{root.tag}>")
    written = root.findtext("filename", "")
    name = picture_of_file(pictures, file, below, written, "<filename>")
    sides = root.findtext("size/width"), root.findtext("size/height")
    width, height = size_or_header(f"{file}: <size>", *sides, pictures, name)
    boxes: list[Box] = []
    for row, item in enumerate(root.findall("object")):
        boxes += _boxes(f"{file}: object[{row}]", item, notes)
    return Labelled(name, width, height, tuple(boxes), part)


def _boxes(where: str, item: Element, notes: Notes) -> list[Box]:
    """The box of an object; of several, as ybat writes all objects of a name, each is one."""
    if flag(where, item.findtext("deleted"), "<deleted>"):
        notes.add("<object> that is marked <deleted>: left out", where)
        return []
    name = name_of(where, item.findtext("name"))
    is_difficult = flag(where, item.findtext("difficult"), "<difficult>")
    quads = [_corners(where, bounds, notes) for bounds in item.findall("bndbox")]
    if len(quads) > 1:
        notes.add("<object> with several <bndbox>: each is read as an object", where)
    angle = _rotation(where, item)
    quads = [_around_turned(quad, angle) for quad in quads] or [_around_outline(where, item, notes)]
    return [Box(name, quad, is_difficult) for quad in quads]


def _corners(where: str, bounds: Element, notes: Notes) -> Quad:
    """Left, top, right, bottom in pixels counted from 0."""
    keys = ("xmin", "ymin", "xmax", "ymax")
    left, top, right, bottom = (number(where, bounds.findtext(key), f"<{key}>") for key in keys)
    if right < left or bottom < top:
        raise RecordFault(
            where,
            "xmax and ymax must not lie before xmin and ymin",
            f"{left:g} {top:g} {right:g} {bottom:g}",
        )
    if min(left, top) < 1:
        notes.add(
            "<bndbox> that begins before pixel 1, the first of VOC: all boxes of files that count "
            "from 0 are read a pixel too far to the left and up",
            where,
        )
    return left - 1, top - 1, right, bottom


def _rotation(where: str, item: Element) -> float:
    """Degrees by which CVAT turned a box, clockwise."""
    for attribute in item.iterfind("attributes/attribute"):
        if attribute.findtext("name") == "rotation":
            return number(where, attribute.findtext("value"), "the attribute rotation")
    return 0.0


def _around_turned(quad: Quad, degrees: float) -> Quad:
    left, top, right, bottom = quad
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return around(turned(corners, ((left + right) / 2, (top + bottom) / 2), degrees))


def _around_outline(where: str, item: Element, notes: Notes) -> Quad:
    """The box around a <polygon> (LabelMe, Labelbox) or the turned <robndbox> (roLabelImg)."""
    robust = item.find("robndbox")
    if robust is not None:
        keys = ("cx", "cy", "w", "h", "angle")
        x, y, w, h, angle = (number(where, robust.findtext(key), f"<{key}>") for key in keys)
        quad = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        notes.add("<object> with a <robndbox>: the upright box around it", where)
        return _around_turned(quad, math.degrees(angle))
    points = [
        (number(where, x, "<polygon>"), number(where, y, "<polygon>"))
        for x, y in _points(item.find("polygon"))
    ]
    if len(points) < 3:
        raise RecordFault(where, "must have a <bndbox>, or a <polygon> of three or more points")
    notes.add("<object> with a <polygon> alone: the box around it", where)
    return around(points)


def _points(polygon: Element | None) -> Iterator[tuple[str | None, str | None]]:
    """Those of <pt><x/><y/></pt>, or of <x1/><y1/><x2/><y2/>."""
    if polygon is None:
        return
    for point in polygon.findall("pt"):
        yield point.findtext("x"), point.findtext("y")
    row = 1
    while (x := polygon.find(f"x{row}")) is not None:
        yield x.text, polygon.findtext(f"y{row}")
        row += 1


def _parts(place: Path, files: list[Path], notes: Notes) -> dict[str, str]:
    """XML file -> its part, from the lists of the nearest parent folder that has lists.

    Raises:
        UserError: a list is not text, or train and val share images.
    """
    homes = {folder: _home(folder, place) for folder in {file.parent for file in files}}
    files_of: dict[Path, dict[str, list[Path]]] = {}
    for file in files:
        home = homes[file.parent]
        if home is not None:
            files_of.setdefault(home, {}).setdefault(composed(file.stem), []).append(file)
    named: dict[str, set[str]] = {}
    for home, own in files_of.items():
        for part, where, line in _lines(home):
            meant = own.get(_stem_meant(line, own), [])
            named.setdefault(part, set()).update(map(str, meant))
            if not meant:
                notes.add(
                    "name in a list of ImageSets/Main without an XML file: passed over", where
                )
    return by_picture(named, place, notes)


def _home(folder: Path, place: Path) -> Path | None:
    """The parent folder of XML files that has `ImageSets/Main`, such as a year of the devkit.

    The search ends at the parent of `place`.
    """
    for above in (folder, *folder.parents):
        if (above / _MAIN).is_dir():
            return above
        if above == place.parent:
            break
    return None


def _lines(home: Path) -> Iterator[tuple[str, str, str]]:
    """Part, place and text of each line of the lists; `trainval` if train and val are missing."""
    lists = {home / _MAIN / f"{name}.txt": part for name, part in PARTS.items()}
    existing = {file: part for file, part in lists.items() if file.is_file()}
    both = home / _MAIN / "trainval.txt"
    if both.is_file() and not {TRAIN, VAL} & {*existing.values()}:
        existing[both] = TRAIN
    for file, part in existing.items():
        for row, line in enumerate(text_in(file).splitlines(), start=1):
            if line.strip():
                yield part, f"{file}: line {row}", composed(line.strip())


def _stem_meant(line: str, stems: Collection[str]) -> str:
    """The XML file, without suffix, that a line of a list names; the line itself if there is none.

    A line may contain a name or a path of an image, and the flag of a list of a class.
    """
    name = re.split(r"[/\\]", line)[-1]
    texts = (name, _OF_CLASS.sub("", name))
    meant = (stem for text in texts for stem in (text, os.path.splitext(text)[0]))
    return next((stem for stem in meant if stem in stems), line)


def write(labels: Labels, out: Path, images: Path) -> None:
    """Write `Annotations/*.xml` and a list per part; folders of images become part of the names."""
    require_own_files(labels.images, _stem)
    folder, lists = out / "Annotations", out / "ImageSets" / "Main"
    folder.mkdir()
    for part, own in by_part(labels).items():
        for image in own.images:
            file = folder / f"{_stem(image)}.xml"
            file.write_bytes(content_of(image, image.file_name))
        if part:
            lists.mkdir(parents=True, exist_ok=True)
            text = "".join(f"{_stem(image)}\n" for image in own.images)
            (lists / f"{part}.txt").write_text(text, encoding="utf-8")


def _stem(image: Labelled) -> str:
    return stem_of(image).replace("/", "__")


def content_of(image: Labelled, picture: str) -> bytes:
    """Content of an annotation file with one `object` per box; pixels are counted from 1.

    Args:
        image: its path as the file is to name it.
    """
    root = Element("annotation")
    SubElement(root, "filename").text = picture
    sides = SubElement(root, "size")
    for key, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        SubElement(sides, key).text = str(value)
    for box in image.boxes:
        item = SubElement(root, "object")
        SubElement(item, "name").text = box.name
        SubElement(item, "difficult").text = str(int(box.is_crowd))
        if box.score is not None:
            SubElement(item, "score").text = f"{box.score:.5f}"
        left, top, right, bottom = box.xyxy
        bounds = SubElement(item, "bndbox")
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        for key, corner in corners.items():
            SubElement(bounds, key).text = f"{corner:.10g}"
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
