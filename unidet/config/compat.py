"""`compat`: "default" corrects errors of the official code, "official" reproduces them.

Each network and the calibration has its own setting. Effects of "official", by module:

- `models.oln_head`: boxes at the left or top border have no box loss, boxes start as points, and
  the unused classifier exists;
- `models.nanodet_plus.detector`: degenerate boxes are learned, and normalizers are not averaged
  over data-parallel processes;
- `models.rtdetr.network`, `models.detr.network`: degenerate boxes are learned;
- `evaluation.calibration`: a category that was never detected has an infinite weight;
- `evaluation.soft_nms`: boxes are offset by class in float32.

For reasons and effects see docs/differences.md.
"""

from typing import Literal

Compat = Literal["default", "official"]
