"""`unidet search TEXT`: searches the regions of a finished study."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.pipelines.verbs.support.arguments import add_json, file_path, tell, whole
from unidet.pipelines.verbs.support.verb import Compose, Verb

_MOST = 1000
"""Most regions on a contact sheet, so that image viewers can open it."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("text", help='the query, such as "striped red star"')
    parser.add_argument(
        "--study",
        type=file_path,
        help="an experiment, a store or an artefact; default: the newest study on real images",
    )
    parser.add_argument("--dataset", metavar="NAME", help="evaluation set; default: val")
    parser.add_argument("--top", type=whole(1, _MOST), default=20, help="number of regions")
    parser.add_argument(
        "--out", type=file_path, metavar="FILE", default="search.png", help="the contact sheet"
    )
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from pathlib import Path

    from unidet.pipelines.detector.opened_study import open_study
    from unidet.pipelines.detector.search import contact_sheet
    from unidet.store.disk import check_target, whole_file

    target = Path(options.out)
    check_target(target, (".png",))
    study = open_study(options.study, overrides=options.overrides)
    dataset = study.dataset("lvis_raw", options.dataset)
    best = study.search(options.text, dataset, options.top)
    with whole_file(target) as partial:
        contact_sheet(study, dataset, best).save(partial, format="PNG")
    images = study.images(dataset)
    best.insert(1, "image", [images.caption(int(row)) for row in best["row"]])
    lines = [
        f"{row.score:.3f}  {row.image}  {row.x1:.0f} {row.y1:.0f} {row.x2:.0f} {row.y2:.0f}"
        for row in best.itertuples()
    ]
    tell(options, best.to_dict("records"), [*lines, str(target)])
    return 0


VERB = Verb(
    group="The study",
    summary="search the regions of a finished study by text",
    example='unidet search "striped red star" --study toy',
    run=run,
    add_arguments=add_arguments,
)
