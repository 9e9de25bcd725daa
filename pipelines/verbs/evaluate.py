"""`unidet evaluate GT.json RESULTS.json…`: any results files, in the official formats."""

from __future__ import annotations

import json
import os
import re
from argparse import ArgumentParser, Namespace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from unidet.console.terminal import printable, say
from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import file_path, whole
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.disk import check_target, whole_file

if TYPE_CHECKING:
    from unidet.formats.annotations import Annotations
    from unidet.records import Detections, GroundTruth

TOLERANCE = 1e-6
POOR = 0.1
"""Below this AP50, or recall of proposals, a line says whether the ids seem to be others."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ground_truth", type=file_path, metavar="GT.json")
    parser.add_argument("results", type=file_path, nargs="+", metavar="RESULTS.json")
    parser.add_argument("--style", choices=("lvis", "coco", "proposals"), required=True)
    parser.add_argument(
        "--images",
        type=file_path,
        metavar="SUBSET.json",
        help="evaluate only the images of this annotation file (LVIS minival)",
    )
    parser.add_argument(
        "--max-detections-per-category",
        type=whole(1),
        metavar="N",
        help="style lvis: add fixed and pooled AP, with the N best detections per category instead "
        "of 300 per image; published with N 10000",
    )
    parser.add_argument(
        "--per-category",
        type=file_path,
        metavar="FILE",
        help="styles lvis and coco: write AP, confusion and calibration error of each category as "
        "CSV, print the overall calibration error",
    )
    parser.add_argument(
        "--out", type=file_path, metavar="FILE", help="write the metrics as JSON, too"
    )
    parser.add_argument(
        "--check-official",
        action="store_true",
        help="compare with AP by the lvis package or pycocotools",
    )


def run(options: Namespace, compose: Compose) -> int:
    evaluate_files(**vars(options))
    return 0


def evaluate_files(
    ground_truth: str,
    results: list[str],
    style: str,
    images: str | None,
    max_detections_per_category: int | None,
    per_category: str | None,
    out: str | None,
    check_official: bool,
) -> None:
    """Print the metrics, write them to `out`, and compare with the official package where asked.

    Several results files are evaluated against ground truth that is read once.

    Raises:
        UserError: a fault in a file, options that do not go together, or metrics that differ from
            the official package's.
    """
    from unidet.formats.annotations import read_annotations
    from unidet.formats.ground_truth import ground_truth_of
    from unidet.pictures.result_files import require_ids_of

    _check_options(style, images, max_detections_per_category, check_official)
    if per_category and (style == "proposals" or len(results) > 1):
        raise UserError("--per-category: takes one results file, and style lvis or coco")
    if out and per_category and os.path.realpath(out) == os.path.realpath(per_category):
        raise UserError(
            f"--per-category: {per_category} is that of --out; give each a file of its own"
        )
    for target in filter(None, (out, per_category)):
        check_target(Path(target), inputs=(ground_truth, images, *results))
    whole = read_annotations(Path(ground_truth))
    truth = ground_truth_of(whole)
    for note in truth.notes:
        say(f"note: {note}")
    part = _part_of(truth, whole, Path(images)) if images else truth
    for name in results:
        require_ids_of(whole, Path(name), class_agnostic=style == "proposals")
    del whole
    metrics = {
        name: _metrics_of(Path(name), truth, part, style, max_detections_per_category, per_category)
        for name in results
    }
    _print(metrics)
    if out:
        with whole_file(Path(out)) as partial:
            written = metrics[results[0]] if len(results) == 1 else metrics
            partial.write_text(json.dumps(written, indent=1))
    if check_official:
        for name in results:
            _compare(metrics[name], style, Path(ground_truth), Path(name))


def _part_of(truth: GroundTruth, whole: Annotations, images: Path) -> GroundTruth:
    """Of the images that another file has too: the same ids, and the same names where both say."""
    import numpy as np

    from unidet.formats.annotations import read_annotations

    subset = read_annotations(images)
    ids = subset.image_ids
    unknown = np.setdiff1d(ids, truth.image_ids)
    if len(unknown):
        raise UserError(f"{images}: image {unknown[0]} is not in {truth.source}")
    known = dict(zip(whole.image_ids.tolist(), _stems(whole), strict=True))
    for number, stem in zip(ids.tolist(), _stems(subset), strict=True):
        if stem and known[number] and stem != known[number]:
            raise UserError(
                f"{images}: image {number} is {stem!r}, in {truth.source} {known[number]!r}; the "
                "ids are of other images"
            )
    return truth.of_images(ids)


def _stems(annotations: Annotations) -> list[str]:
    """What each image's file is called, without folders, ending and COCO's words in front of its
    twelve digits; empty where the file does not say."""
    written = zip(*map(annotations.images.values, ("file_name", "coco_url")), strict=True)
    names = (str(name or url or "").replace("\\", "/") for name, url in written)
    stems = (PurePosixPath(name).stem for name in names)
    return [re.sub(r"^COCO_\w+_(?=\d{12}$)", "", stem) for stem in stems]


def _detections_of(results: Path, truth: GroundTruth, part: GroundTruth, style: str) -> Detections:
    """Those of a `part` of the images that the file may speak of."""
    import numpy as np

    from unidet.evaluation.results_notes import notes_of
    from unidet.formats.results import read_results, repeated_detections

    detections = read_results(results, truth, class_agnostic=style == "proposals")
    if part is not truth:
        detections = detections.take(np.isin(detections.image_ids, part.image_ids))
    notes = [*notes_of(part, detections, style)]
    if again := repeated_detections(detections):
        notes.insert(
            0, f"{again} × detection that came before, same box and score: it counts as false"
        )
    for note in notes:
        say(f"note: {results}: {note}")
    return detections


def _metrics_of(
    results: Path,
    truth: GroundTruth,
    part: GroundTruth,
    style: str,
    max_per_category: int | None,
    per_category: str | None,
) -> dict[str, float]:
    """The metrics on a `part` of the images; the table of the categories goes to `per_category`."""
    from unidet.evaluation.evaluate import evaluate, evaluate_categories
    from unidet.evaluation.fixed_ap import fixed_ap_metrics
    from unidet.evaluation.results_notes import doubt

    detections = _detections_of(results, truth, part, style)
    metrics = evaluate(part, detections, style)
    found = metrics["R50@300" if style == "proposals" else "AP50"]
    if 0 <= found < POOR and (line := doubt(part, detections, style)):
        say(f"note: {results}: {line}")
    if max_per_category:
        metrics |= fixed_ap_metrics(part, detections, max_per_category=max_per_category)
    if per_category:
        from unidet.report.spreadsheet import write_csv

        errors, table = evaluate_categories(part, detections, style)
        metrics |= errors
        with whole_file(Path(per_category)) as partial:
            write_csv(table, partial)
    return metrics


def _check_options(
    style: str, images: str | None, max_per_category: int | None, check_official: bool
) -> None:
    if check_official and style == "proposals":
        raise UserError(
            "--check-official: styles lvis and coco alone have an official package to compare with"
        )
    if check_official and images:
        raise UserError("--check-official reads whole files; leave out --images")
    if max_per_category and style != "lvis":
        raise UserError("--max-detections-per-category: fixed AP is defined for --style lvis")


def _print(metrics: dict[str, dict[str, float]]) -> None:
    """One line a metric, one column a file; several files are named above."""
    from unidet.records import UNDEFINED

    if len(metrics) > 1:
        for column, name in enumerate(metrics, 1):
            print(printable(f"[{column}] {name}"))
        print(" " * 10 + "".join(f" {f'[{column}]':>6}" for column in range(1, len(metrics) + 1)))
    for key in next(iter(metrics.values())):
        values = (row[key] for row in metrics.values())
        cells = (f"{value:.4f}" if value != UNDEFINED else "–" for value in values)
        print(f"{key:<10}" + "".join(f" {cell:>6}" for cell in cells))


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
