"""Multi-scale deformable attention: weighted sums of bilinear samples of several feature maps.

N: images, S: cells of all levels (level after level, each row by row), Q: queries, A: heads,
D: channels per head, L: levels, P: points per level.

Source: Zhu et al., arXiv 2010.04159, 4.1; Deformable-DETR ops/functions/ms_deform_attn_func.py
`ms_deform_attn_core_pytorch`.
"""

from __future__ import annotations

from collections.abc import Sequence

import jittor as jt
import numpy as np

from unidet.ops import deformable_attention_cuda
from unidet.ops.kernels import Kernel, run

_POINT = r"""
#include <cmath>
#include <cstring>
// The four cells around a point; a corner outside the map counts as zero.
struct Point {
    int row, column;    // of the upper left corner
    float down, right;  // from it, in cells
    bool touches;
    DEVICE Point(const float* place, const int* level) {
        const float x = place[0] * level[1] - 0.5f, y = place[1] * level[0] - 0.5f;
        touches = x > -1 && y > -1 && x < level[1] && y < level[0];
        if (!touches) return;
        row = (int)floorf(y), column = (int)floorf(x);
        down = y - row, right = x - column;
    }
    // Cell of `corner` (0 .. 3) in the concatenated maps, -1 outside.
    DEVICE int cell(int corner, const int* level) const {
        const int y = row + corner / 2, x = column + corner % 2;
        if (y < 0 || x < 0 || y >= level[0] || x >= level[1]) return -1;
        return level[2] + y * level[1] + x;
    }
    DEVICE float share_down(int corner) const { return corner / 2 ? down : 1 - down; }
    DEVICE float share_right(int corner) const { return corner % 2 ? right : 1 - right; }
};
"""
_CPU_HEADER = _POINT.replace("DEVICE", "")
_CUDA_HEADER = deformable_attention_cuda.HEADER + _POINT.replace("DEVICE", "__device__")

_FORWARD = r"""
const int cells = in0_shape1, heads = in0_shape2, width = in0_shape3;
const int queries = in1_shape1, points = in1_shape3, per_level = points / in3_shape0;
const int rows = in1_shape0 * queries;
#pragma omp parallel for
for (int row = 0; row < rows; row++) for (int head = 0; head < heads; head++) {
    const float* values = in0_p + ((size_t)(row / queries) * cells * heads + head) * width;
    const size_t first = ((size_t)row * heads + head) * points;
    float* sum = out_p + ((size_t)row * heads + head) * width;
    std::memset(sum, 0, sizeof(float) * width);
    for (int k = 0; k < points; k++) {
        const int* level = in3_p + 3 * (k / per_level);
        const Point point(in1_p + 2 * (first + k), level);
        if (!point.touches) continue;
        for (int corner = 0; corner < 4; corner++) {
            const int cell = point.cell(corner, level);
            if (cell < 0) continue;
            const float* value = values + (size_t)cell * heads * width;
            const float share = point.share_down(corner) * point.share_right(corner);
            const float weight = in2_p[first + k] * share;
            for (int d = 0; d < width; d++) sum[d] += weight * value[d];
        }
    }
}
"""

_BACKWARD = r"""
const int images = in0_shape0, cells = in0_shape1, heads = in0_shape2, width = in0_shape3;
const int queries = in1_shape1, points = in1_shape3, per_level = points / in3_shape0;
std::memset(out0_p, 0, sizeof(float) * images * cells * heads * width);
#pragma omp parallel for
for (int lane = 0; lane < images * heads; lane++) for (int query = 0; query < queries; query++) {
    const int image = lane / heads, head = lane % heads;
    const size_t start = ((size_t)image * cells * heads + head) * width;
    const size_t row = ((size_t)image * queries + query) * heads + head;
    const float* grad = in4_p + row * width;
    for (int k = 0; k < points; k++) {
        const size_t place = row * points + k;
        const int* level = in3_p + 3 * (k / per_level);
        const Point point(in1_p + 2 * place, level);
        float along_x = 0, along_y = 0, sample = 0;
        for (int corner = 0; corner < 4 && point.touches; corner++) {
            const int cell = point.cell(corner, level);
            if (cell < 0) continue;
            const size_t offset = start + (size_t)cell * heads * width;
            const float down = point.share_down(corner), right = point.share_right(corner);
            const float weight = in2_p[place] * down * right;
            float product = 0;
            for (int d = 0; d < width; d++) {
                product += grad[d] * in0_p[offset + d];
                out0_p[offset + d] += weight * grad[d];
            }
            sample += down * right * product;
            along_x += (corner % 2 ? down : -down) * product;
            along_y += (corner / 2 ? right : -right) * product;
        }
        out1_p[2 * place] = in2_p[place] * along_x * level[1];
        out1_p[2 * place + 1] = in2_p[place] * along_y * level[0];
        out2_p[place] = sample;
    }
}
"""


class _DeformableAttention(jt.Function):
    """The compiled kernels. `levels` (L, 3) holds height, width and first cell of each level."""

    def execute(self, values: jt.Var, locations: jt.Var, weights: jt.Var, levels: jt.Var) -> jt.Var:
        self.saved = values, locations, weights, levels
        images, queries, heads = weights.shape[:3]
        (sums,) = run(
            [(images, queries, heads, values.shape[3])],
            ["float32"],
            [values, locations, weights, levels],
            cpu=Kernel(_FORWARD, _CPU_HEADER),
            cuda=Kernel(deformable_attention_cuda.FORWARD, _CUDA_HEADER),
            values={},
        )
        return sums

    def grad(self, grad: jt.Var) -> tuple[jt.Var | None, ...]:
        values, locations, weights, levels = self.saved
        grads = run(
            [values.shape, locations.shape, weights.shape],
            ["float32"] * 3,
            [values, locations, weights, levels, grad],
            cpu=Kernel(_BACKWARD, _CPU_HEADER),
            cuda=Kernel(deformable_attention_cuda.BACKWARD, _CUDA_HEADER),
            values={},
        )
        return (*grads, None)


def deformable_attention(
    values_NSAD: jt.Var,
    locations_NQALP2: jt.Var,
    weights_NQALP: jt.Var,
    sizes: Sequence[tuple[int, int]],
) -> jt.Var:
    """Weighted sums (N, Q, A, D) of the samples at `locations`.

    `locations` are (x, y), with 0 and 1 at the outer edges of a map (align_corners False). Maps are
    zero outside their edges. `sizes` holds height and width of each of the L levels. Values,
    locations and weights receive gradients. ValueError where the levels do not have S cells, or the
    shapes do not fit each other.
    """
    images, queries, heads, levels, points = weights_NQALP.shape
    cells = sum(height * width for height, width in sizes)
    if levels != len(sizes) or tuple(values_NSAD.shape[:3]) != (images, cells, heads):
        raise ValueError(f"levels {list(sizes)} do not fit values {values_NSAD.shape}")
    if tuple(locations_NQALP2.shape) != (*weights_NQALP.shape, 2):
        shapes = f"{locations_NQALP2.shape} and {weights_NQALP.shape}"
        raise ValueError(f"locations and weights of shapes {shapes}")
    starts = np.cumsum([0] + [height * width for height, width in sizes[:-1]])
    table = np.concatenate([np.array(sizes), starts[:, None]], axis=1).astype(np.int32)
    flat = (images, queries, heads, levels * points)
    return _DeformableAttention.apply(
        values_NSAD.float32(),
        locations_NQALP2.reshape(*flat, 2).float32(),
        weights_NQALP.reshape(flat).float32(),
        jt.array(table),
    )
