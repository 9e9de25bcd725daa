"""`compat`: ours where the official code errs ("default"), or its behaviour ("official").

Each network and the calibration has its own. What it changes, by the place that reads it:

- `models.oln_head`: boxes at the left or top border have no box loss, boxes start as points, the
  dead classifier is there;
- `models.nanodet_plus.detector`: degenerate boxes are learned, the normalizers of data-parallel
  processes are not averaged;
- `models.rtdetr.network`, `models.detr.network`: degenerate boxes are learned;
- `evaluation.calibration`: a category that was never detected has an infinite weight;
- `evaluation.soft_nms`: boxes are shifted by class in float32.

Why, and with what effect: docs/differences.md.
"""

from typing import Literal

Compat = Literal["default", "official"]
