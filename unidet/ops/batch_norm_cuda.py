"""CUDA source of batch normalization (see batch_norm.py).

SPLITS thread blocks share a channel. Each writes its partial sums to out3 (C, SPLITS, 2); another
kernel combines them in double precision.
"""

from __future__ import annotations

from unidet.ops.kernels import GRID_HEADER, SUM_HEADER, grid_stride_loop

SPLITS = 16

HEADER = (
    GRID_HEADER
    + SUM_HEADER
    + r"""
#include <cmath>
namespace jittor {
// Where value number `at` of a channel lies, counted through all images.
__device__ static inline long long place(long long at, int channel, int channels, int cells) {
    return (at / cells * channels + channel) * cells + at % cells;
}
}
"""
)

_PART = r"""
    __shared__ float parts[256];
    const int channel = blockIdx.x, channels = in0_shape1, cells = in0_shape2 * in0_shape3;
    const long long count = (long long)in0_shape0 * cells, share = (count + SPLITS - 1) / SPLITS;
    const long long begin = min(blockIdx.y * share, count), end = min(begin + share, count);
    float* partial = out3_p + (channel * SPLITS + blockIdx.y) * 2;
"""

_FORWARD = r"""
__global__ static void partial_moments(@ARGS_DEF) {
    PART
    float sum = 0.f, squares = 0.f;
    for (long long at = begin + threadIdx.x; at < end; at += blockDim.x)
        sum += in0_p[place(at, channel, channels, cells)];
    const float mean = block_sum(sum, parts) / max(end - begin, 1ll);
    for (long long at = begin + threadIdx.x; at < end; at += blockDim.x) {
        const float gap = in0_p[place(at, channel, channels, cells)] - mean;
        squares += gap * gap;
    }
    squares = block_sum(squares, parts);
    if (threadIdx.x == 0) partial[0] = mean, partial[1] = squares;
}
__global__ static void moments(@ARGS_DEF, bool frozen) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= in0_shape1) return;
    const long long count = (long long)in0_shape0 * in0_shape2 * in0_shape3;
    const long long share = (count + SPLITS - 1) / SPLITS;
    double mean = 0, spread = 0, seen = 0;
    for (int split = 0; split < SPLITS && !frozen; split++) {
        const double size = min(share, max(count - split * share, 0ll));
        if (size == 0) break;
        const float* partial = out3_p + (channel * SPLITS + split) * 2;
        const double gap = partial[0] - mean;
        spread += partial[1] + gap * gap * size * seen / (seen + size);
        seen += size;
        mean += gap * size / seen;
    }
    out1_p[channel] = frozen ? in3_p[channel] : mean;
    out2_p[channel] = frozen ? in4_p[channel] : spread / count;
}
__global__ static void normalize(@ARGS_DEF, float eps, float slope) {
    EACH {
        const int channel = i / (in0_shape2 * in0_shape3) % in0_shape1;
        const float scale = in1_p[channel] / sqrtf(out2_p[channel] + eps);
        const float value = in0_p[i] * scale + (in2_p[channel] - out1_p[channel] * scale);
        out0_p[i] = fmaxf(value, value * slope);
    }
}
const bool frozen = data["frozen"] != 0;
const dim3 blocks(in0_shape1, SPLITS);
if (!frozen) partial_moments<<<blocks, 256>>>(@ARGS);
moments<<<blocks_for(in0_shape1), 256>>>(@ARGS, frozen);
normalize<<<blocks_for(out0->num), 256>>>(@ARGS, (float)data["eps"], (float)data["slope"]);
"""

_BACKWARD = r"""
__global__ static void partial_sums(@ARGS_DEF, float eps, float slope) {
    PART
    const float mean = in3_p[channel], scale = in2_p[channel] / sqrtf(in4_p[channel] + eps);
    const float shift = in5_p[channel] - mean * scale;
    float grads = 0.f, products = 0.f;
    for (long long at = begin + threadIdx.x; at < end; at += blockDim.x) {
        const long long i = place(at, channel, channels, cells);
        const float grad = in1_p[i] * (in0_p[i] * scale + shift > 0.f ? 1.f : slope);
        grads += grad;
        products += grad * (in0_p[i] - mean);
    }
    grads = block_sum(grads, parts);
    products = block_sum(products, parts);
    if (threadIdx.x == 0) partial[0] = grads, partial[1] = products;
}
__global__ static void sums(@ARGS_DEF, float eps) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= in0_shape1) return;
    double grads = 0, products = 0;
    for (int split = 0; split < SPLITS; split++) {
        grads += out3_p[(channel * SPLITS + split) * 2];
        products += out3_p[(channel * SPLITS + split) * 2 + 1];
    }
    out1_p[channel] = products / sqrtf(in4_p[channel] + eps);
    out2_p[channel] = grads;
}
__global__ static void feats_gradient(@ARGS_DEF, float eps, float slope, bool frozen) {
    const float share = 1.f / ((float)in0_shape0 * in0_shape2 * in0_shape3);
    EACH {
        const int channel = i / (in0_shape2 * in0_shape3) % in0_shape1;
        const float mean = in3_p[channel], inverse = 1.f / sqrtf(in4_p[channel] + eps);
        const float scale = in2_p[channel] * inverse, shift = in5_p[channel] - mean * scale;
        const float offset = frozen ? 0.f : out2_p[channel] * share;
        const float tilt = frozen ? 0.f : out1_p[channel] * inverse * share;
        const float grad = in1_p[i] * (in0_p[i] * scale + shift > 0.f ? 1.f : slope);
        out0_p[i] = scale * (grad - offset - (in0_p[i] - mean) * tilt);
    }
}
const float eps = data["eps"];
const float slope = data["slope"];
const dim3 blocks(in0_shape1, SPLITS);
partial_sums<<<blocks, 256>>>(@ARGS, eps, slope);
sums<<<blocks_for(in0_shape1), 256>>>(@ARGS, eps);
feats_gradient<<<blocks_for(out0->num), 256>>>(@ARGS, eps, slope, data["frozen"] != 0);
"""

FORWARD, BACKWARD = (
    source.replace("PART", _PART)
    .replace(
        "EACH", grid_stride_loop("(long long)in0_shape0 * in0_shape1 * in0_shape2 * in0_shape3")
    )
    .replace("SPLITS", str(SPLITS))
    for source in (_FORWARD, _BACKWARD)
)
