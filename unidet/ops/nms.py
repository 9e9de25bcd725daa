"""Non-maximum suppression. N: boxes, K: kept boxes.

Boxes are sorted on the host, where sorting is stable. The greedy pass is one compiled kernel per
device. It takes the threshold as data, so it is compiled once.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.ops.kernels import Kernel, run

_CPU_SOURCE = r"""
const int count = in0_shape0;
const float threshold = data["threshold"];
std::vector<float> x1(count), y1(count), x2(count), y2(count), area(count);
std::vector<int> alive(count, 1);
for (int i = 0; i < count; i++) {
    const float* box = in0_p + i * 4;
    x1[i] = box[0]; y1[i] = box[1]; x2[i] = box[2]; y2[i] = box[3];
    area[i] = (box[2] - box[0]) * (box[3] - box[1]);
}
const float *left = x1.data(), *top = y1.data(), *right = x2.data(), *bottom = y2.data();
const float* areas = area.data();
int* live = alive.data();
for (int i = 0; i < count; i++) {
    if (!live[i]) continue;
    const float l = left[i], t = top[i], r = right[i], b = bottom[i], a = areas[i];
    #pragma omp simd
    for (int j = i + 1; j < count; j++) {
        const float w = std::max(std::min(r, right[j]) - std::max(l, left[j]), 0.f);
        const float h = std::max(std::min(b, bottom[j]) - std::max(t, top[j]), 0.f);
        const float shared = w * h;
        const float joint = a + areas[j] - shared;
        live[j] &= !(joint > 0.f && shared > threshold * joint);
    }
}
for (int i = 0; i < count; i++) out_p[i] = live[i];
"""

# out1 (N, words): for each box, one bit for each lower-scoring box that it overlaps.
_CUDA_SOURCE = r"""
__global__ static void overlap_mask(@ARGS_DEF, float threshold) {
    const int row = blockIdx.y * blockDim.y + threadIdx.y;
    const int word = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= in0_shape0 || word >= out1_shape1) return;
    const float* a = in0_p + row * 4;
    const float own = (a[2] - a[0]) * (a[3] - a[1]);
    unsigned bits = 0;
    for (int bit = 0; bit < 32; bit++) {
        const int j = word * 32 + bit;
        if (j <= row || j >= in0_shape0) continue;
        const float* b = in0_p + j * 4;
        const float w = fmaxf(fminf(a[2], b[2]) - fmaxf(a[0], b[0]), 0.f);
        const float h = fmaxf(fminf(a[3], b[3]) - fmaxf(a[1], b[1]), 0.f);
        const float shared = w * h;
        const float joint = own + (b[2] - b[0]) * (b[3] - b[1]) - shared;
        if (joint > 0.f && shared > threshold * joint) bits |= 1u << bit;
    }
    out1_p[row * out1_shape1 + word] = (int)bits;
}
__global__ static void greedy_scan(@ARGS_DEF) {
    extern __shared__ unsigned removed[];
    const int words = out1_shape1;
    for (int w = threadIdx.x; w < words; w += blockDim.x) removed[w] = 0;
    __syncthreads();
    for (int row = 0; row < in0_shape0; row++) {
        const bool keep = !((removed[row >> 5] >> (row & 31)) & 1u);
        __syncthreads();
        if (threadIdx.x == 0) out0_p[row] = keep;
        if (!keep) continue;
        for (int w = threadIdx.x; w < words; w += blockDim.x)
            removed[w] |= (unsigned)out1_p[row * words + w];
        __syncthreads();
    }
}
dim3 threads(16, 16);
dim3 blocks((out1_shape1 + 15) / 16, (in0_shape0 + 15) / 16);
overlap_mask<<<blocks, threads>>>(@ARGS, (float)data["threshold"]);
greedy_scan<<<1, 256, out1_shape1 * sizeof(unsigned)>>>(@ARGS);
"""


_SPLIT_FROM = 10_000  # boxes; the time of one call grows with the square of their number


def nms(boxes_xyxy: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Indices (K,) int32 of the kept boxes by descending score; of equal scores, lower index first.

    A box is removed if its IoU with a kept box of higher score is > threshold. Areas are without
    + 1, as in torchvision and mmcv. Boxes (N, 4) and scores (N,) are compared as float32. N = 0
    gives K = 0. On a GPU, the sorted boxes are copied there and one flag per box back. ValueError
    where the boxes are not (N, 4).
    """
    if boxes_xyxy.shape != (len(scores), 4):
        raise ValueError(f"nms takes boxes (N,4) of N scores, not {boxes_xyxy.shape}")
    keys = -scores.astype(np.float32).astype(np.float64)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    if len(order) < 2:
        return order
    ordered = jt.array(boxes_xyxy.astype(np.float32)[order])
    return order[_keep_flags(ordered, threshold).numpy() != 0]


def class_wise_nms(
    boxes_xyxy: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float
) -> np.ndarray:
    """Indices (K,) int64 of the boxes kept by NMS within each class, by descending score.

    Same as `batched_nms` of mmcv and NanoDet, including its rounding: boxes are shifted by an
    offset per class so that boxes of different classes do not overlap. From 10,000 boxes on, NMS is
    called for each class.
    """
    if len(boxes_xyxy) == 0:
        return np.zeros(0, np.int64)
    apart = labels.astype(np.float32) * (boxes_xyxy.max() + np.float32(1))
    moved = boxes_xyxy + apart[:, None]
    groups = [np.arange(len(labels))]
    if len(labels) >= _SPLIT_FROM:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kept = np.concatenate([rows[nms(moved[rows], scores[rows], threshold)] for rows in groups])
    kept = np.sort(kept)
    return kept[np.argsort(-scores[kept], kind="stable")]


def _keep_flags(ordered: jt.Var, threshold: float) -> jt.Var:
    """Boxes (N, 4) by descending score -> (N,) int32, 1 where the box is kept."""
    count = ordered.shape[0]
    shapes: list[tuple[int, ...]] = [(count,)]
    if jt.flags.use_cuda:
        shapes.append((count, (count + 31) // 32))
    return run(
        shapes,
        ["int32"] * len(shapes),
        [ordered],
        cpu=Kernel(_CPU_SOURCE, "#include <algorithm>\n#include <vector>\n"),
        cuda=Kernel(_CUDA_SOURCE),
        values={"threshold": float(threshold)},
    )[0]
