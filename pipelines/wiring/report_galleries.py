"""Which images of an evaluation set the report shows, and their pictures."""

from __future__ import annotations

from unidet.evaluation.naming import image_scores, ranked_images
from unidet.pipelines.wiring.report_sets import ReportedSet
from unidet.report.gallery import Gallery, Pair, pair_of

KINDS = {
    "best": ("Best", "Images with the highest F1, those with more boxes first."),
    "worst": ("Worst", "Images with the lowest F1, those with more boxes first."),
    "confused": (
        "Most confused",
        "Images with the most boxes over which only detections of other names lie.",
    ),
    "missed": ("Most missed", "Images with the most boxes over which no detection lies."),
}


def galleries(reported: ReportedSet, most: int) -> list[Gallery]:
    """Best, worst, most confused and missed images of a set, at most `most` of each."""
    evaluated, rows = reported.evaluated, reported.rows
    scores = image_scores(evaluated.truth, evaluated.detections, evaluated.naming)
    drawn: dict[int, Pair] = {}
    found = []
    for kind, (title, text) in KINDS.items():
        pairs = []
        for row in ranked_images(scores, kind, most).tolist():
            if row not in drawn:
                image = int(rows[row])
                name = reported.data.caption(image)
                drawn[row] = pair_of(evaluated, row, reported.data.images.read(image), name, scores)
            pairs.append(drawn[row])
        if pairs:
            found.append(Gallery(kind, title, text, pairs))
    return found
