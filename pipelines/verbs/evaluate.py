"""`unidet evaluate GT.json RESULTS.json`: any results file, in the official formats."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import file_path
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.disk import check_target, whole_file

TOLERANCE = 1e-6


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ground_truth", type=file_path, metavar="GT.json")
    parser.add_argument("results", type=file_path, metavar="RESULTS.json")
    parser.add_argument("--style", choices=("lvis", "coco", "proposals"), required=True)
    parser.add_argument(
        "--out", type=file_path, metavar="FILE", help="write the metrics here too, as JSON"
    )
    parser.add_argument(
        "--check-official",
        action="store_true",
        help="compute AP with the lvis package or pycocotools as well, and compare",
    )


def run(options: Namespace, compose: Compose) -> int:
    evaluate_files(**vars(options))
    return 0


def evaluate_files(
    ground_truth: str, results: str, style: str, out: str | None, check_official: bool
) -> None:
    """Print the metrics, write them to `out`, and compare with the official package where asked.

    Raises:
        UserError: a fault in a file, or metrics that differ from the official package's.
    """
    from unidet.evaluation.evaluate import evaluate
    from unidet.formats.ground_truth import read_ground_truth
    from unidet.formats.results import read_results
    from unidet.records import UNDEFINED

    if check_official and style == "proposals":
        raise UserError(
            "--check-official: styles lvis and coco alone have an official package to compare with"
        )
    if out:
        check_target(Path(out))
    truth = read_ground_truth(Path(ground_truth))
    for note in truth.notes:
        say(f"note: {note}")
    detections = read_results(Path(results), truth, class_agnostic=style == "proposals")
    metrics = evaluate(truth, detections, style)
    for name, value in metrics.items():
        print(f"{name:<10} {value:.4f}" if value != UNDEFINED else f"{name:<10} –")
    if out:
        with whole_file(Path(out)) as partial:
            partial.write_text(json.dumps(metrics, indent=1))
    if check_official:
        _compare(metrics, style, Path(ground_truth), Path(results))


def _compare(ours: dict[str, float], style: str, ground_truth: Path, results: Path) -> None:
    if style == "lvis":
        from unidet.evaluation.lvis_package import lvis_package_metrics

        package, official = "the lvis package", lvis_package_metrics(ground_truth, results)
    else:
        from unidet.evaluation.pycocotools_package import pycocotools_metrics

        package, official = "pycocotools", pycocotools_metrics(ground_truth, results)
    worst = max(official, key=lambda name: abs(ours[name] - official[name]))
    difference = abs(ours[worst] - official[worst])
    if difference > TOLERANCE:
        raise UserError(f"{worst} differs from that of {package} by {difference:.2g}")
    print(f"equal to {package} within {TOLERANCE:g} (largest difference {difference:.1g})")


VERB = Verb(
    group="Files",
    summary="AP or recall of any COCO or LVIS results file",
    example="unidet evaluate lvis_v1_val.json detections.json --style lvis",
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
