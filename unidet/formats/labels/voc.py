"""Pascal VOC: an XML file for each picture, parts as lists in `ImageSets/Main`.

Corners count pixels from 1 and belong to the box (VOC devkit): pixel n reaches from n - 1 to n.
`difficult` boxes are crowds here: VOC leaves them out of training and evaluation, COCO AP too then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from unidet.errors import UserError
from unidet.formats.labels.records import (
    PARTS,
    Box,
    Labelled,
    Labels,
    Owners,
    Pictures,
    RecordFault,
    Refuse,
    by_part,
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
)

_ENCODING = re.compile(rb"\s*<\?xml[^>]*?encoding=[\"']([\w.-]+)")


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """Every XML file below a folder, or one file."""
    parts = dict(_parts(place))
    below = place.parent if place.is_file() else place
    images = []
    owners = Owners()
    for file in sorted(label_files(place, "*.xml")):
        with leaving_out(refuse):
            image = _image(file, below, pictures, parts.get(file.stem, ""))
            owners.add(image.file_name, str(file))
            images.append(image)
    return Labels(names_met(images), tuple(images))


def root_of(file: Path) -> Element:
    """The root element of an XML file; RecordFault where it is none."""
    try:
        content = file.read_bytes()
        declared = _ENCODING.match(content)
        if declared is None:
            return ElementTree.fromstring(content)
        # by Python's codecs: the parser itself knows few of more than one byte a character
        return ElementTree.fromstring(content.decode(declared[1].decode()))
    except ElementTree.ParseError as error:
        raise RecordFault(str(file), f"must be whole XML ({error})") from None
    except (UnicodeDecodeError, LookupError) as error:
        raise RecordFault(
            str(file), f"must be text in the encoding it declares ({error})"
        ) from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None


def _image(file: Path, below: Path, pictures: Pictures, part: str) -> Labelled:
    root = root_of(file)
    if root.tag != "annotation":
        raise RecordFault(str(file), "must be an <annotation> of Pascal VOC", f"<{root.tag}>")
    written = root.findtext("filename", "")
    name = picture_of_file(pictures, file, below, written, "<filename>")
    sides = root.findtext("size/width"), root.findtext("size/height")
    width, height = size_or_header(f"{file}: <size>", *sides, pictures, name)
    objects = enumerate(root.findall("object"))
    boxes = [_box(f"{file}: object[{row}]", item) for row, item in objects]
    return Labelled(name, width, height, tuple(boxes), part)


def _box(where: str, item: Element) -> Box:
    name = name_of(where, item.findtext("name"))
    bounds = item.find("bndbox")
    if bounds is None:
        raise RecordFault(where, "must have a <bndbox>")
    keys = ("xmin", "ymin", "xmax", "ymax")
    left, top, right, bottom = (number(where, bounds.findtext(key), f"<{key}>") for key in keys)
    if right < left or bottom < top:
        raise RecordFault(
            where,
            "xmax and ymax must not lie before xmin and ymin",
            f"{left:g} {top:g} {right:g} {bottom:g}",
        )
    is_difficult = flag(where, item.findtext("difficult"), "<difficult>")
    return Box(name, (left - 1, top - 1, right, bottom), is_difficult)


def _parts(place: Path) -> Iterator[tuple[str, str]]:
    """Name of a file without its ending -> its part."""
    for folder in (place, place.parent):
        for text, part in PARTS.items():
            listed = folder / "ImageSets" / "Main" / f"{text}.txt"
            if listed.is_file():
                lines = filter(str.strip, listed.read_text(encoding="utf-8").splitlines())
                yield from ((line.strip(), part) for line in lines)


def write(labels: Labels, out: Path, images: Path) -> None:
    """`Annotations/*.xml` and a list for each part; a picture's folder comes before its name."""
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
    """An annotation with one `object` a box; pixels count from 1, as officially.

    Args:
        picture: its path as the file is to name it.
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
