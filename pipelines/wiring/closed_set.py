"""Detections of a closed-set detector, in COCO's terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unidet.pipelines.engine.shards import Columns, Sharded

if TYPE_CHECKING:
    import jittor as jt
    import numpy as np

    from unidet.records import Batch, Detected, Detections

    Detect = Callable[[jt.Var, np.ndarray], list[Detected]]

KINDS = {"boxes_xywh": ("float64", (4,)), "category_ids": ("int64", ()), "scores": ("float32", ())}
"""The columns of an image's detections: the type and the lengths of an entry."""
NO_CATEGORY = -(2**63)  # no number that int64 holds is below it


def output_ids(outputs: Sequence[Mapping[str, Any] | None]) -> np.ndarray:
    """(C,) int64 category id of each output of the network, `NO_CATEGORY` for none."""
    import numpy as np

    ids = [NO_CATEGORY if category is None else category["id"] for category in outputs]
    return np.array(ids, np.int64)


def detect_batch(
    detect: Detect, batch: Batch, category_ids: np.ndarray
) -> Iterator[tuple[int, Columns]]:
    """Row and every detection of each image.

    Args:
        detect: normalized images (N, 3, H, W) and sizes (N, 2) before padding -> N `Detected`.
        category_ids: of the network's classes, in their order; what it takes for a class that is
            `NO_CATEGORY` is left out.

    Yields:
        boxes_xywh (D, 4) float64 in original pixels, category_ids (D,) and scores (D,).
    """
    import numpy as np

    from unidet.ops.numpy_boxes import xyxy_to_xywh
    from unidet.training.inference import as_images

    detections = detect(as_images(batch), batch.sizes_N2)
    images = zip(batch.image_rows.tolist(), batch.scales_N4, detections, strict=True)
    for row, scale, detected in images:
        kept = category_ids[detected.labels] != NO_CATEGORY
        yield (
            row,
            {
                "boxes_xywh": xyxy_to_xywh(detected.boxes[kept].astype(np.float64) / scale),
                "category_ids": category_ids[detected.labels[kept]],
                "scores": detected.scores[kept],
            },
        )


def detections_of(dumped: Sharded, image_ids: np.ndarray) -> Detections:
    """What `detect_batch` left of all images, in the order of `image_ids`."""
    import numpy as np

    from unidet.records import Detections

    images = [dumped.of(row) for row in range(len(image_ids))]
    counts = [len(columns["scores"]) for columns in images]
    return Detections(
        image_ids=np.repeat(image_ids, counts),
        **{
            name: np.concatenate([columns[name] for columns in images])
            for name in ("category_ids", "boxes_xywh", "scores")
        },
    )
