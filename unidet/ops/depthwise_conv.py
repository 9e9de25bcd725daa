"""Depthwise convolution: one filter per channel.

On a CPU, Jittor's own converts to oneDNN's blocked layout and back, which takes ten times as long
as the convolution. These kernels work on (N, C, H, W) row by row. N: images, C: channels,
H, W: cells, K: side of a filter.
"""

from __future__ import annotations

import jittor as jt

from unidet.ops import depthwise_conv_cuda
from unidet.ops.kernels import Kernel, run

_HEADER = r"""
#include <algorithm>
#include <cstring>
#include <vector>
// First and one past the last output cell whose tap `offset` lies inside 0 .. size-1.
static inline int first_cell(int offset, int stride) {
    return offset >= 0 ? 0 : (-offset + stride - 1) / stride;
}
static inline int end_cell(int offset, int stride, int size, int cells) {
    return offset >= size ? 0 : std::min(cells, (size - 1 - offset) / stride + 1);
}
// The map in a frame of zeros, so that every tap lies inside.
static inline void frame(const float* x, int height, int width, int before, float* framed,
                         int framed_height, int framed_width) {
    std::memset(framed, 0, sizeof(float) * framed_height * framed_width);
    const int used = std::max(std::min(width, framed_width - before), 0);
    for (int row = 0; row < std::min(height, framed_height - before); row++)
        std::memcpy(framed + (size_t)(row + before) * framed_width + before,
                    x + (size_t)row * width, sizeof(float) * used);
}
struct Map {
    const float* x;
    int width;
    float* y;
    int rows, columns, stride;
};
// All taps of a cell are summed in a register; SIDE, where it is known, unrolls them.
template <int SIDE> static inline void convolve(const Map& map, const float* filter, int side) {
    const int taps = SIDE ? SIDE : side;
    for (int row = 0; row < map.rows; row++) {
        const float* source = map.x + (size_t)row * map.stride * map.width;
        float* target = map.y + (size_t)row * map.columns;
        if (map.stride == 1) {
            #pragma omp simd
            for (int i = 0; i < map.columns; i++) {
                float sum = 0;
                for (int ky = 0; ky < taps; ky++) for (int kx = 0; kx < taps; kx++)
                    sum += filter[ky * taps + kx] * source[ky * map.width + i + kx];
                target[i] = sum;
            }
        } else {
            #pragma omp simd
            for (int i = 0; i < map.columns; i++) {
                float sum = 0;
                for (int ky = 0; ky < taps; ky++) for (int kx = 0; kx < taps; kx++)
                    sum += filter[ky * taps + kx] * source[ky * map.width + i * map.stride + kx];
                target[i] = sum;
            }
        }
    }
}
"""

_FORWARD = r"""
const int stride = data["stride"], before = data["before"], side = in1_shape2;
const int channels = in0_shape1, planes = in0_shape0 * channels;
const int height = in0_shape2, width = in0_shape3, rows = out_shape2, columns = out_shape3;
const int framed_height = (rows - 1) * stride + side, framed_width = (columns - 1) * stride + side;
#pragma omp parallel
{
    std::vector<float> framed((size_t)framed_height * framed_width);
    #pragma omp for
    for (int plane = 0; plane < planes; plane++) {
        const float* x = in0_p + (size_t)plane * height * width;
        const float* filter = in1_p + (plane % channels) * side * side;
        float* y = out_p + (size_t)plane * rows * columns;
        frame(x, height, width, before, framed.data(), framed_height, framed_width);
        const Map map = {framed.data(), framed_width, y, rows, columns, stride};
        if (side == 3) convolve<3>(map, filter, 3);
        else if (side == 5) convolve<5>(map, filter, 5);
        else convolve<0>(map, filter, side);
    }
}
"""

_BACKWARD = r"""
const int stride = data["stride"], before = data["before"], side = in1_shape2;
const int images = in0_shape0, channels = in0_shape1;
const int height = in0_shape2, width = in0_shape3, rows = in2_shape2, columns = in2_shape3;
#pragma omp parallel for
for (int channel = 0; channel < channels; channel++) {
    const float* filter = in1_p + channel * side * side;
    float* filter_grad = out1_p + channel * side * side;
    std::memset(filter_grad, 0, sizeof(float) * side * side);
    for (int image = 0; image < images; image++) {
        const size_t plane = (size_t)image * channels + channel;
        const float* x = in0_p + plane * height * width;
        const float* grad = in2_p + plane * rows * columns;
        float* x_grad = out0_p + plane * height * width;
        std::memset(x_grad, 0, sizeof(float) * height * width);
        for (int row = 0; row < rows; row++) for (int ky = 0; ky < side; ky++) {
            const int from = row * stride - before + ky;
            if (from < 0 || from >= height) continue;
            const float* out = grad + (size_t)row * columns;
            for (int kx = 0; kx < side; kx++) {
                const int offset = kx - before, end = end_cell(offset, stride, width, columns);
                const float weight = filter[ky * side + kx];
                const float* source = x + (size_t)from * width + offset;
                float* target = x_grad + (size_t)from * width + offset;
                float sum = 0;
                const int start = first_cell(offset, stride);
                if (stride == 1) for (int i = start; i < end; i++) {
                    sum += out[i] * source[i];
                    target[i] += weight * out[i];
                } else for (int i = start; i < end; i++) {
                    sum += out[i] * source[i * stride];
                    target[i * stride] += weight * out[i];
                }
                filter_grad[ky * side + kx] += sum;
            }
        }
    }
}
"""


class _DepthwiseConv(jt.Function):
    """The compiled kernels. Stride and padding are data, so one compilation serves all calls."""

    def __init__(self, stride: int, before: int) -> None:
        super().__init__()
        self.stride = stride
        self.values = {"stride": float(stride), "before": float(before)}

    def execute(self, feats: jt.Var, weight: jt.Var, rows: int, columns: int) -> jt.Var:
        self.saved = feats, weight
        shape = (feats.shape[0], feats.shape[1], rows, columns)
        (out,) = run(
            [shape],
            ["float32"],
            [feats, weight],
            cpu=Kernel(_FORWARD, _HEADER),
            cuda=Kernel(depthwise_conv_cuda.FORWARD, depthwise_conv_cuda.HEADER),
            values=self.values,
        )
        return out

    def grad(self, grad: jt.Var) -> tuple[jt.Var | None, ...]:
        feats, weight = self.saved
        grads = run(
            [feats.shape, weight.shape],
            ["float32"] * 2,
            [feats, weight, grad],
            cpu=Kernel(_BACKWARD, _HEADER),
            cuda=Kernel(depthwise_conv_cuda.BACKWARD, depthwise_conv_cuda.HEADER),
            values=self.values,
        )
        return (*grads, None, None)


def depthwise_conv(
    feats_NCHW: jt.Var, weight_C1KK: jt.Var, stride: int, before: int, after: int
) -> jt.Var:
    """Convolve each channel of (N, C, H, W) with its filter (1, K, K), with zero padding.

    `before` is the padding at the top and left, `after` that at the bottom and right. ValueError
    where the filters do not fit the channels or the map is too small.
    """
    _, channels, height, width = feats_NCHW.shape
    side = weight_C1KK.shape[2]
    if tuple(weight_C1KK.shape) != (channels, 1, side, side):
        shapes = f"{feats_NCHW.shape} and {weight_C1KK.shape}"
        raise ValueError(f"depthwise_conv takes (N,C,H,W) and (C,1,K,K), not {shapes}")
    rows = (height + before + after - side) // stride + 1
    columns = (width + before + after - side) // stride + 1
    if rows < 1 or columns < 1:
        raise ValueError(f"a {height}x{width} map is too small for a filter of side {side}")
    return _DepthwiseConv(stride, before)(feats_NCHW.float32(), weight_C1KK, rows, columns)
