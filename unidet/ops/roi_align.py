"""RoIAlign: bilinear features of boxes on a fixed grid, forward and backward.

R rois; feats (N, C, H, W); a bin is one cell of the output grid (h, w). A bin averages a grid of
bilinear samples, so it is a weighted sum whose weights factor into a row part and a column part:
per roi, h sparse row combinations and w sparse column combinations. The CPU kernel
applies the two one after the other to blocks of 16 channels (one vector register), which beats
sampling bin by bin. The CUDA kernel samples directly, one thread per output value.
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
    """jt.Function around the compiled kernels; numbers travel as data, so nothing recompiles."""

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
    """Features (R, C, h, w) of rois (batch_index, x1, y1, x2, y2) in image pixels.

    The map may be blocked (ops/blocked_maps.py); `keeps_blocks`: so are then the features.

    `spatial_scale` is feature cells per pixel, e.g. 1 / 16. `sampling_ratio` samples per bin and
    axis; 0 takes ceil(bin size). `aligned` shifts by half a cell; without it sides are at least 1.
    Samples more than a cell outside read 0; inverted rois (aligned) with adaptive sampling give
    zeros. R = 0 gives (0, C, h, w). No gradient reaches the rois. Equal to mmcv RoIAlign, mode avg.
    ValueError where shapes do not fit; a roi with a batch index outside 0 .. N-1 gives zeros.
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
