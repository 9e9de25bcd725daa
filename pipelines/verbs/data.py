"""`unidet data check|stats|convert|prepare`: images and labels, of the study, of any folder, or
published ones."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
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
    from unidet.config.compose import prepared_names

    text = "list all faults; count; convert the format; download a published dataset"
    parser.add_argument("action", choices=tuple(ACTIONS), help=text)
    text = f"prepare: {', '.join(prepared_names())}; key=value overrides conf/prepare/NAME.yaml"
    parser.add_argument("dataset", nargs="?", default="", help=text)
    add_labels(parser, required=False)
    parser.add_argument("--to", choices=FORMATS, metavar="FORMAT", help="convert: the new format")
    text = "convert: a new folder; stats: a .png file; prepare: the later data.root, default data"
    parser.add_argument("--out", type=file_path, metavar="PATH", help=text)
    text = "prepare: only this file of the dataset; may be repeated"
    parser.add_argument("--only", action="append", metavar="NAME", default=[], help=text)
    text = "prepare: list what exists and what would be downloaded"
    parser.add_argument("--dry-run", action="store_true", help=text)
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    if bool(options.images) != bool(options.annotations):
        raise UserError("data: give both --images and --annotations, or neither")
    is_prepare = options.action == "prepare"
    if not is_prepare and options.dataset:
        raise UserError(
            f"data {options.action}: {options.dataset}: images and labels are given as --images "
            "FOLDER --annotations PLACE; without them it is about the sets of the study"
        )
    if not is_prepare and (options.only or options.dry_run):
        raise UserError(f"data {options.action}: --only and --dry-run belong to prepare")
    if is_prepare and (options.images or options.to or options.format):
        raise UserError("data prepare: takes no --images, --annotations, --format and --to")
    return ACTIONS[options.action](options, compose)


def _check(options: Namespace, compose: Compose) -> int:
    from unidet.data.check import Faults
    from unidet.pipelines.wiring.data_report import check

    faults = Faults()
    result = check(_sets(options, compose, faults), faults)
    tell(options, result.as_dict(), result.lines())
    return 0 if result.is_sound else UNSOUND


def _stats(options: Namespace, compose: Compose) -> int:
    from unidet.data.own_data import require_apart
    from unidet.pipelines.wiring.data_stats import built_embeddings, stats
    from unidet.store.disk import check_target

    picture = Path(options.out) if options.out else None
    if picture is not None:
        check_target(picture, (".png",))
        if options.images:  # where it would be an image without labels, or replace one with
            require_apart(picture, Path(options.images))
    embeddings = {} if options.images else built_embeddings(compose(options.overrides))
    tell(options, *stats(_sets(options, compose, None), embeddings, picture))
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


def _prepare(options: Namespace, compose: Compose) -> int:
    from unidet.config.compose import compose_prepared
    from unidet.pipelines.wiring.prepared_data import planned, preparation, prepare

    if any(item.startswith("hydra.searchpath=") for item in options.overrides):
        raise UserError(
            "data prepare: does not use a study, so it takes neither -C nor --config-dir"
        )
    data = compose_prepared(options.dataset, options.overrides)
    root = Path(options.out or "data")
    todo = preparation(data, root, options.only)
    lines = planned(todo) if options.dry_run else prepare(todo)
    tell(options, {"out": str(root), "lines": lines}, lines)
    return 0


def _sets(options: Namespace, compose: Compose, faults: Faults | None) -> Iterator[NamedData]:
    from unidet.data.check import Faults
    from unidet.formats.labels.records import strictly
    from unidet.pipelines.wiring.label_copy import tell_label_changes
    from unidet.pipelines.wiring.named_data import sets_in_folder, sets_of_study

    if not options.images:
        config = compose(options.overrides)
        tell_label_changes(config)
        return sets_of_study(config)
    places = (Path(options.annotations), Path(options.images))
    refuse = strictly if faults is None else faults.refuse_record
    note = (faults or Faults()).note
    return sets_in_folder(*places, options.format, refuse, note)


ACTIONS: dict[str, Callable[[Namespace, Compose], int]] = {
    "check": _check,
    "stats": _stats,
    "convert": _convert,
    "prepare": _prepare,
}

VERB = Verb(
    group="The study",
    summary="check, count, convert or download images and labels",
    example="unidet data check --images photos --annotations labels.json",
    run=run,
    add_arguments=add_arguments,
)
