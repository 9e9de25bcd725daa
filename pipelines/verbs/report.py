"""`unidet report [WHAT…]`: a report with its provenance, or several studies side by side."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from unidet.console.terminal import size
from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import WHAT, file_path
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.disk import check_target, whole_file
from unidet.store.record import Action

_DELIVERED = re.compile(r"-([0-9a-f]{12})\.html$")


def add_arguments(parser: ArgumentParser) -> None:
    text = f"{WHAT}; several are compared; without any, the report as configured now"
    parser.add_argument("what", nargs="*", type=file_path, metavar="WHAT", help=text)
    parser.add_argument(
        "--out", default="report.html", type=file_path, metavar="FILE", help="the page"
    )
    parser.add_argument(
        "--names", nargs="+", default=[], help="of the compared studies, for legends"
    )


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store
    from unidet.pipelines.verbs.support.selection import select
    from unidet.pipelines.wiring.report_comparison import comparison_of
    from unidet.pipelines.wiring.report_provenance import page_of

    target = Path(options.out)
    check_target(target, (".html",))
    config = compose(options.overrides)
    store = open_store(config)
    actions: list[Action] = []
    for what in options.what or ["report"]:
        delivered = _DELIVERED.search(what)
        (action,) = select(delivered[1] if delivered else what, config, store)[:1]
        if action.stage != "report":
            raise UserError(f"{what}: is an artefact of {action.label}; name one of stage report")
        actions.append(action)
    if len(actions) == 1:
        page = page_of(actions[0], store, compose)
    else:
        page = comparison_of(actions, store, compose, options.names)
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8")
    print(f"{target}, {size(target.stat().st_size)}")
    return 0


VERB = Verb(
    group="The study",
    summary="a report with command, cost and lineage; several compared",
    example="unidet report outputs/artefacts/report-* --out compared.html",
    run=run,
    add_arguments=add_arguments,
)
