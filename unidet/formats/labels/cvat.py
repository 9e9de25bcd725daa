"""CVAT for images 1.1: one XML file with the boxes and polygons of each image in an <image>."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from unidet.errors import UserError
from unidet.formats.labels.records import (
    PARTS,
    Box,
    Labelled,
    Labels,
    Notes,
    Owners,
    Pictures,
    RecordFault,
    Refuse,
    around,
    leaving_out,
    name_of,
    names_met,
    number,
    picture_of,
    size_or_header,
    strictly,
)
from unidet.formats.labels.turning import around_ellipse, turned
from unidet.formats.labels.voc import root_of

SHAPES = ("box", "polygon", "ellipse", "mask")
_BESIDE = ("tag",)
"""Elements of an image that are not shapes."""


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """Read `annotations.xml`, or the folder that contains it.

    Raises:
        UserError: the file has tracks, which is the export format for videos.
    """
    file = place if place.is_file() else place / "annotations.xml"
    try:
        root = root_of(file)
    except RecordFault as fault:
        raise UserError(str(fault)) from None
    if root.find("track") is not None:
        raise UserError(
            f"{file}: holds tracks of a video; export the task as 'CVAT for images 1.1', and its "
            "frames as images"
        )
    notes = Notes()
    images = []
    owners = Owners()
    elements = root.findall("image")
    if not elements:
        raise UserError(f"{file}: holds no <image>; export the task as 'CVAT for images 1.1'")
    for row, element in enumerate(elements):
        with leaving_out(refuse):
            where = f"{file}: image[{row}]"
            image = _image(where, element, pictures, notes)
            owners.add(image.file_name, where)
            images.append(image)
    # labels with a <parent> are those of a skeleton's points
    labels = (label for label in root.iterfind(".//label") if not label.findtext("parent"))
    listed = ((label.findtext("name") or "").strip() for label in labels)
    names = dict.fromkeys([*filter(None, listed), *names_met(images)])
    return Labels(tuple(names), tuple(images), notes.findings)


def _image(where: str, element: Element, pictures: Pictures, notes: Notes) -> Labelled:
    name = picture_of(pictures, where, element.get("name", ""))
    sides = element.get("width"), element.get("height")
    width, height = size_or_header(where, *sides, pictures, name)
    boxes = []
    for row, shape in enumerate(element):
        place = f"{where}: {shape.tag}[{row}]"
        if shape.tag in SHAPES:
            boxes.append(Box(name_of(place, shape.get("label")), _xyxy(place, shape)))
        elif shape.tag not in _BESIDE:
            notes.add(f"<{shape.tag}> has no box ({', '.join(SHAPES)} have): left out", place)
    part = PARTS.get(element.get("subset", "").lower(), "")
    return Labelled(name, width, height, tuple(boxes), part)


def _xyxy(where: str, shape: Element) -> tuple[float, float, float, float]:
    def value(key: str) -> float:
        return number(where, shape.get(key), key)

    angle = number(where, shape.get("rotation", "0"), "rotation")
    if shape.tag == "polygon":
        return around(_points(where, shape.get("points", "")))
    if shape.tag == "ellipse":
        x, y, across, down = map(value, ("cx", "cy", "rx", "ry"))
        return around_ellipse((x, y), (across, down), angle)
    if shape.tag == "mask":
        left, top = value("left"), value("top")
        return left, top, left + value("width"), top + value("height")
    left, top, right, bottom = map(value, ("xtl", "ytl", "xbr", "ybr"))
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    centre = (left + right) / 2, (top + bottom) / 2
    return around(turned(corners, centre, angle))


def _points(where: str, text: str) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in text.strip().removesuffix(";").split(";")]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise RecordFault(where, "points must be three or more x,y with ; between", text[:40])
    return [(number(where, x, "x"), number(where, y, "y")) for x, y in pairs]


def write(labels: Labels, out: Path, images: Path) -> None:
    """`annotations.xml`."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    listed = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for name in labels.names:
        SubElement(SubElement(listed, "label"), "name").text = name
    for row, image in enumerate(labels.images):
        sides = {"width": str(image.width), "height": str(image.height)}
        subset = {"subset": image.part} if image.part else {}
        names = {"id": str(row), "name": image.file_name, **subset}
        element = SubElement(root, "image", {**names, **sides})
        for box in image.boxes:
            if not box.is_crowd:
                corners = zip(("xtl", "ytl", "xbr", "ybr"), box.xyxy, strict=True)
                values = {key: f"{value:.10g}" for key, value in corners}
                SubElement(element, "box", {"label": box.name, "occluded": "0", **values})
    ElementTree.indent(root)
    tree = ElementTree.ElementTree(root)
    tree.write(out / "annotations.xml", encoding="utf-8", xml_declaration=True)
