"""What a stage says of detections that cannot be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unidet.console.terminal import say

if TYPE_CHECKING:
    from unidet.records import Detections, GroundTruth


def tell_oddities(name: str, truth: GroundTruth, detections: Detections, style: str) -> None:
    """A note for each line of `evaluation.odd_results` on an evaluation set."""
    from unidet.evaluation.odd_results import oddities

    for line in oddities(truth, detections, style):
        say(f"  note: {name}: {line}")
