"""`unidet data check|stats|convert`: pictures and labels, of the study or of any folder."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import add_json, file_path, tell
from unidet.pipelines.verbs.support.own_data import FORMATS, add_labels
from unidet.pipelines.verbs.support.verb import Compose, Verb

if TYPE_CHECKING:
    from unidet.data.check import Faults
    from unidet.pipelines.wiring.named_data import NamedData

UNSOUND = 1


def add_arguments(parser: ArgumentParser) -> None:
    text = "every fault by kind; what there is; the same labels in another format"
    parser.add_argument("action", choices=("check", "stats", "convert"), help=text)
    add_labels(parser, required=False)
    parser.add_argument("--to", choices=FORMATS, metavar="FORMAT", help="convert: the format")
    text = "convert: a new folder; stats: a picture, .png"
    parser.add_argument("--out", type=file_path, metavar="PATH", help=text)
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    if bool(options.images) != bool(options.annotations):
        raise UserError("data: --images and --annotations belong together, or leave both out")
    return {"check": _check, "stats": _stats, "convert": _convert}[options.action](options, compose)


def _check(options: Namespace, compose: Compose) -> int:
    from unidet.data.check import Faults
    from unidet.pipelines.wiring.data_report import check

    faults = Faults()
    result = check(_sets(options, compose, faults), faults)
    tell(options, result.as_dict(), result.lines())
    return 0 if result.is_sound else UNSOUND


def _stats(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.wiring.data_report import stats
    from unidet.store.disk import check_target

    picture = Path(options.out) if options.out else None
    if picture is not None:
        check_target(picture, (".png",))
    tell(options, *stats(_sets(options, compose, None), picture))
    return 0


def _convert(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.wiring.data_report import convert

    if not (options.images and options.to and options.out):
        raise UserError(
            "data convert: needs --images FOLDER --annotations PLACE --to FORMAT --out FOLDER"
        )
    places = (Path(options.annotations), Path(options.images))
    lines = convert(*places, options.format, options.to, Path(options.out))
    tell(options, {"out": options.out, "lines": lines}, lines)
    return 0


def _sets(options: Namespace, compose: Compose, faults: Faults | None) -> Iterator[NamedData]:
    from unidet.formats.labels.records import strictly
    from unidet.pipelines.wiring.named_data import sets_in_folder, sets_of_study

    if not options.images:
        return sets_of_study(compose(options.overrides))
    places = (Path(options.annotations), Path(options.images))
    refuse = strictly if faults is None else faults.refuse_record
    return sets_in_folder(*places, options.format, refuse)


VERB = Verb(
    group="The study",
    summary="check, count, convert pictures and labels",
    example="unidet data check --images photos --annotations labels.json",
    run=run,
    add_arguments=add_arguments,
)
