"""RoIAlign: features of boxes on a fixed grid by bilinear sampling, forward and backward.

R: RoIs, N, C, H, W: the feature map, h, w: the output grid, whose cells are called bins. A bin is
the mean of bilinear samples on a grid, so it is a weighted sum of cells whose weights are products
of a row weight and a column weight. The CPU kernel applies sparse row weights and then sparse
column weights to blocks of 16 channels (one vector register), which is faster than sampling each
bin. The CUDA kernel samples directly, with one thread per output value.
"""

from __future__ import annotations

import jittor as jt

from unidet.ops.blocked_maps import LANES, is_blocked
from unidet.ops.kernels import Kernel, run
from unidet.ops.roi_align_source import (
    CPU_HEADER,
    CUDA_BACKWARD,
    CUDA_FORWARD,
    CUDA_HEADER,
    cpu_kernels,
)


class _RoiAlign(jt.Function):
    """The compiled kernels. Numbers are passed as data, so one compilation serves all calls."""

    def __init__(
        self, size: tuple[int, int], values: dict[str, float], map_blocked: bool, keeps: bool
    ) -> None:
        super().__init__()
        self.size = size
        self.values = values
        self.blocks = keeps and map_blocked
        self.forward, self.backward = cpu_kernels(map_blocked, self.blocks)

    def execute(self, feats: jt.Var, rois: jt.Var) -> jt.Var:
        self.feats_shape, self.rois = feats.shape, rois
        count, channels, lanes = rois.shape[0], feats.shape[1], list(feats.shape[4:])
        if lanes and not self.blocks:
            channels, lanes = channels * LANES, []
        shape = (count, channels, *self.size, *lanes)
        return self._run(shape, [feats, rois], self.forward, CUDA_FORWARD)

    def grad(self, grad: jt.Var) -> tuple[jt.Var, None]:
        return self._run(self.feats_shape, [grad, self.rois], self.backward, CUDA_BACKWARD), None

    def _run(self, shape: tuple[int, ...], inputs: list[jt.Var], cpu: str, cuda: str) -> jt.Var:
        (result,) = run(
            [shape],
            ["float32"],
            inputs,
            cpu=Kernel(cpu, CPU_HEADER),
            cuda=Kernel(cuda, CUDA_HEADER),
            values=self.values,
        )
        return result


def roi_align(
    feats_NCHW: jt.Var,
    rois_R5: jt.Var,
    output_size: int | tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int = 0,
    aligned: bool = True,
    *,
    keeps_blocks: bool = False,
) -> jt.Var:
    """Features (R, C, h, w) of RoIs (batch_index, x1, y1, x2, y2) in image pixels.

    Samples more than one cell outside the map are 0. RoIs with a batch index outside 0 .. N-1 give
    zeros, and so do inverted RoIs with `aligned` and adaptive sampling. R = 0 gives (0, C, h, w).
    RoIs receive no gradient. Equal to mmcv RoIAlign with mode avg.

    Args:
        feats_NCHW: may also be a blocked map (ops/blocked_maps.py).
        spatial_scale: feature cells per pixel, e.g. 1 / 16.
        sampling_ratio: samples per bin and axis; 0 takes ceil(size of a bin in cells).
        aligned: shift coordinates by half a cell; otherwise sides are at least one cell.
        keeps_blocks: return blocked features for a blocked map.

    Raises:
        ValueError: the shapes do not fit.
    """
    if len(feats_NCHW.shape) not in (4, 5) or len(rois_R5.shape) != 2 or rois_R5.shape[1] != 5:
        shapes = f"{feats_NCHW.shape} and {rois_R5.shape}"
        raise ValueError(f"roi_align takes feats (N,C,H,W) and rois (R,5), not {shapes}")
    size = (output_size, output_size) if isinstance(output_size, int) else output_size
    values = {
        "scale": float(spatial_scale),
        "ratio": float(sampling_ratio),
        "aligned": float(aligned),
        "bins_h": float(size[0]),
        "bins_w": float(size[1]),
    }
    align = _RoiAlign(size, values, is_blocked(feats_NCHW), keeps_blocks)
    return align(feats_NCHW.float32(), rois_R5.detach().float32())
