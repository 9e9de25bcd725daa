"""`unidet detect SOURCE…`: detects objects in the user's images and videos."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from unidet.console.interrupt import at_once
from unidet.console.terminal import say
from unidet.counts import counted
from unidet.pipelines.verbs.support.arguments import file_path, number, whole
from unidet.pipelines.verbs.support.model import add_source, add_vocabulary
from unidet.pipelines.verbs.support.verb import Compose, Verb

FORMATS = ("coco", "yolo", "voc", "csv", "labelme")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="+",
        type=file_path,
        metavar="SOURCE",
        help='images, folders, videos, patterns such as "a/**/*.jpg"; -: a list on stdin',
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="include subfolders")
    _add_model(parser)
    _add_detections(parser)
    _add_outputs(parser)


def _add_model(parser: ArgumentParser) -> None:
    model = parser.add_argument_group("categories and model")
    add_vocabulary(model)
    model.add_argument(
        "--example",
        action="append",
        default=[],
        metavar="NAME=IMAGE",
        help="a category by example: a crop, or IMAGE@X1,Y1,X2,Y2; may be repeated",
    )
    model.add_argument(
        "--set", action="store_true", help="may stand before key=value, as scripts of old have it"
    )
    add_source(model)


def _add_detections(parser: ArgumentParser) -> None:
    wanted = parser.add_argument_group("filtering")
    wanted.add_argument(
        "--threshold", type=number(0, 1), default=0.3, metavar="SCORE", help="minimum score, 0 to 1"
    )
    wanted.add_argument(
        "--top-k", type=whole(1), default=100, metavar="N", help="maximum per image"
    )
    wanted.add_argument(
        "--gamma", type=number(0, 2), default=0.0, help="probability calibration, 0 (none) to 2"
    )
    wanted.add_argument(
        "--multi-label", action="store_true", help="an object may have several names"
    )


def _add_outputs(parser: ArgumentParser) -> None:
    outputs = parser.add_argument_group("output")
    outputs.add_argument(
        "--out",
        type=file_path,
        metavar="DIR",
        default="detections",
        help="output folder; only files written by detect are replaced",
    )
    outputs.add_argument("--format", choices=FORMATS, default="coco", help="format of the boxes")
    outputs.add_argument(
        "--annotations",
        type=file_path,
        metavar="GT.json",
        help="detect only in the images of this COCO or LVIS file, and use its ids",
    )
    outputs.add_argument("--crops", action="store_true", help="save each box as an image too")
    outputs.add_argument("--show-proposals", action="store_true", help="draw the proposals too")
    outputs.add_argument("--no-drawings", action="store_true", help="write only the boxes")


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pictures.detect_files import FileDetector, Wanted, detect_files
    from unidet.pictures.sources import find_sources
    from unidet.pipelines.detector.for_files import FILES, open_for_files
    from unidet.pipelines.detector.options import Options

    rules = Options(options.threshold, options.top_k, options.gamma, options.multi_label)
    with at_once():  # nothing is begun yet, and a list on standard input may be long in coming
        sources = find_sources(options.sources, recursive=options.recursive)
    wanted = Wanted(
        folder=Path(options.out),
        format=options.format,
        drawings=not options.no_drawings,
        crops=options.crops,
        annotations=Path(options.annotations) if options.annotations else None,
    )

    def open_model() -> FileDetector:
        names = ("study", *FILES, "overrides")
        source = {name: getattr(options, name) for name in names}
        shows = options.show_proposals
        return open_for_files(source, options.vocab, options.example, rules, proposals=shows)

    summary = detect_files(sources, open_model, wanted)
    boxes = counted(summary.boxes, "box", "boxes")
    say(f"{boxes} in {counted(summary.pictures, 'image')} -> {options.out}")
    if summary.pictures and not summary.boxes:
        say(_nothing_found(options.threshold))
    if summary.faults:
        say(f"{summary.faults} of {len(sources)} could not be read")
    if summary.partial:
        say(f"{summary.partial} of {len(sources)} could be read only in part")
    return 1 if summary.faults or summary.partial else 0


def _nothing_found(threshold: float) -> str:
    """Whether lower scores exist depends on the network: some drop the lowest themselves."""
    otherwise = "train for more steps, or look for other names"
    if threshold == 0:
        return f"the network finds no box, whatever its score: {otherwise}"
    return (
        f"no score reaches {threshold:g}; a lower --threshold shows more where the network keeps "
        f"lower scores; where not, {otherwise}"
    )


VERB = Verb(
    group="Files",
    summary="detect objects in your own images and videos",
    example='unidet detect photos -r --vocab "car, traffic light" --study bench',
    run=run,
    add_arguments=add_arguments,
    saves=True,
)
