"""`unidet report [WHAT…]`: a report with its provenance, or several studies side by side."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from unidet.console.terminal import printable, size
from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import WHAT, file_path
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.disk import check_target, whole_file


def add_arguments(parser: ArgumentParser) -> None:
    text = (
        f"{WHAT}; the folder of a study or store: its newest report; several are compared; "
        "default: the report as configured"
    )
    parser.add_argument("what", nargs="*", type=file_path, metavar="WHAT", help=text)
    parser.add_argument(
        "--out", default="report.html", type=file_path, metavar="FILE", help="the HTML file"
    )
    parser.add_argument("--names", nargs="+", default=[], help="names of the compared studies")


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store
    from unidet.pipelines.verbs.support.reports import report_of
    from unidet.pipelines.wiring.report_comparison import comparison_of
    from unidet.pipelines.wiring.report_provenance import page_of

    if options.names and len(options.what) < 2:
        raise UserError("report: --names are those of several reports; name these, or leave it out")
    target = Path(options.out)
    check_target(target, (".html",), inputs=options.what)
    config = compose(options.overrides)
    store = open_store(config)
    reports = [report_of(what, config, store) for what in options.what or ["report"]]
    if len(reports) == 1:
        page = page_of(reports[0].action, reports[0].store, compose)
    else:
        page = comparison_of(reports, compose, options.names)
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8")
    print(printable(f"{target}, {size(target.stat().st_size)}"))
    return 0


VERB = Verb(
    group="The study",
    summary="write a report with provenance, or compare several",
    example="unidet report birds fish --out compared.html",
    run=run,
    add_arguments=add_arguments,
)
