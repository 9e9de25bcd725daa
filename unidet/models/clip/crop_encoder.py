"""A crop seen as the RoI network will later see a region: features, RoIAlign, last layer, pool."""

from __future__ import annotations

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.roi_align import roi_align


class CropEncoder(nn.Module):
    """Normalized square crops (N, 3, S, S) to embeddings (N, E), not normalized; any S.

    The whole crop is one region, so that small crops cost little and come to the last layer as
    small objects do in a scene. Children are named as in `RoiClassifier`.

    Args:
        backbone: gives a list of maps, of which the last is taken, `stride` pixels per cell.
        shared_layer: (N, C, roi_size, roi_size) to (N, C', h, w).
        pool: (N, C', h, w) to (N, E).
    """

    def __init__(
        self,
        backbone: nn.Module,
        shared_layer: nn.Module,
        pool: nn.Module,
        *,
        roi_size: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.shared_layer = shared_layer
        self.pool = pool
        self._roi_size, self._stride = roi_size, stride

    def execute(self, crops_NCHW: jt.Var) -> jt.Var:
        count, _, side, _ = crops_NCHW.shape
        rois = np.zeros((count, 5), np.float32)
        rois[:, 0], rois[:, 3:] = np.arange(count), side
        feats = self.backbone(crops_NCHW)[-1]
        regions = roi_align(
            feats, jt.array(rois), self._roi_size, 1.0 / self._stride, keeps_blocks=True
        )
        return self.pool(self.shared_layer(regions))
