"""Which images of an evaluation set the report shows, and their drawings."""

from __future__ import annotations

from unidet.evaluation.naming import image_scores, ranked_images
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.read_proposals import best_proposals
from unidet.pipelines.wiring.report_sets import ReportedSet
from unidet.report.gallery import Gallery, Named, Pair, pair_of, proposals_of

KINDS = {
    "best": ("Best", "Images with the highest F1, those with more boxes first."),
    "worst": ("Worst", "Images with the lowest F1, those with more boxes first."),
    "confused": (
        "Most confused",
        "Images with the most boxes over which only detections of other names lie.",
    ),
    "missed": ("Most missed", "Images with the most boxes over which no detection lies."),
}


SHOWN_PROPOSALS = 30


def proposal_pictures(job: Job, reported: ReportedSet, most: int) -> list[Named]:
    """The best proposals of a set's first images."""
    data = reported.data
    dumped = Sharded(job.inputs[str(Node("proposals", reported.evaluated.name))] / SHARDS)
    return [
        proposals_of(
            data.caption(row), data.images.read(row), best_proposals(dumped, row, SHOWN_PROPOSALS)
        )
        for row in range(min(most, len(data.split)))
    ]


def galleries(reported: ReportedSet, most: int) -> list[Gallery]:
    """Best, worst, most confused and missed images of a set, at most `most` of each.

    A small set may have no other images for a kind than one above shows: that says so, without
    images.
    """
    evaluated, rows = reported.evaluated, reported.rows
    scores = image_scores(evaluated.truth, evaluated.detections, evaluated.naming)
    drawn: dict[int, Pair] = {}
    found: list[Gallery] = []
    shown: dict[str, set[int]] = {}
    for kind, (title, text) in KINDS.items():
        ranked = ranked_images(scores, kind, most).tolist()
        above = next((other for other, own in shown.items() if {*ranked} <= own), "")
        if ranked and above:
            others = f"All {len(ranked)}" if len(ranked) > 1 else "The only one"
            text = f"{text} {others} can be seen above: {KINDS[above][0].lower()}."
            found.append(Gallery(kind, title, text, []))
            continue
        shown[kind] = {*ranked}
        pairs = []
        for row in ranked:
            if row not in drawn:
                image = int(rows[row])
                name = reported.data.caption(image)
                drawn[row] = pair_of(evaluated, row, reported.data.images.read(image), name, scores)
            pairs.append(drawn[row])
        if pairs:
            found.append(Gallery(kind, title, text, pairs))
    return found
