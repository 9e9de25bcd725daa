"""Arguments that name images and labels of any format."""

from __future__ import annotations

from argparse import ArgumentParser

from unidet.pipelines.verbs.support.arguments import file_path

FORMATS = ("coco", "yolo", "voc", "openimages", "labelme", "cvat", "labelstudio")
"""As `formats.labels.recognize` has them, which is slow to import."""


def add_labels(parser: ArgumentParser, *, required: bool) -> None:
    """`--images`, `--annotations` and `--format`."""
    parser.add_argument(
        "--images", required=required, type=file_path, metavar="FOLDER", help="folder of the images"
    )
    parser.add_argument(
        "--annotations",
        required=required,
        type=file_path,
        metavar="PLACE",
        help="the labels, a file or a folder",
    )
    text = f"format of the labels, if ambiguous: {', '.join(FORMATS)}"
    parser.add_argument("--format", choices=FORMATS, default="", metavar="FORMAT", help=text)
