"""CUDA source of the depthwise convolution (see depthwise_conv.py)."""

from __future__ import annotations

from unidet.ops.kernels import GRID_HEADER, SUM_HEADER, grid_stride_loop

HEADER = GRID_HEADER + SUM_HEADER

FORWARD = r"""
__global__ static void depthwise_forward(@ARGS_DEF, int stride, int before) {
    const int side = in1_shape2;
    EACH {
        const int column = i % out0_shape3, row = i / out0_shape3 % out0_shape2;
        const long long plane = i / out0_shape3 / out0_shape2;
        const float* map = in0_p + plane * in0_shape2 * in0_shape3;
        const float* filter = in1_p + plane % in0_shape1 * side * side;
        float sum = 0.f;
        for (int ky = 0; ky < side; ky++) for (int kx = 0; kx < side; kx++) {
            const int y = row * stride - before + ky, x = column * stride - before + kx;
            if (y < 0 || x < 0 || y >= in0_shape2 || x >= in0_shape3) continue;
            sum += filter[ky * side + kx] * map[(long long)y * in0_shape3 + x];
        }
        out0_p[i] = sum;
    }
}
depthwise_forward<<<blocks_for(out0->num), 256>>>(
    @ARGS, (int)data["stride"], (int)data["before"]);
""".replace(
    "EACH", grid_stride_loop("(long long)out0_shape0 * out0_shape1 * out0_shape2 * out0_shape3")
)

BACKWARD = r"""
__global__ static void feats_gradient(@ARGS_DEF, int stride, int before) {
    const int side = in1_shape2;
    EACH {
        const int x = i % in0_shape3, y = i / in0_shape3 % in0_shape2;
        const long long plane = i / in0_shape3 / in0_shape2;
        const float* grad = in2_p + plane * in2_shape2 * in2_shape3;
        const float* filter = in1_p + plane % in0_shape1 * side * side;
        float sum = 0.f;
        for (int ky = 0; ky < side; ky++) for (int kx = 0; kx < side; kx++) {
            const int down = y + before - ky, along = x + before - kx;
            if (down < 0 || along < 0 || down % stride || along % stride) continue;
            const int row = down / stride, column = along / stride;
            if (row >= in2_shape2 || column >= in2_shape3) continue;
            sum += filter[ky * side + kx] * grad[(long long)row * in2_shape3 + column];
        }
        out0_p[i] = sum;
    }
}
__global__ static void filter_gradient(@ARGS_DEF, int stride, int before) {
    __shared__ float parts[256];
    const int side = in1_shape2, taps = side * side, cells = in2_shape2 * in2_shape3;
    const int channel = blockIdx.x / taps, ky = blockIdx.x % taps / side, kx = blockIdx.x % side;
    float sum = 0.f;
    for (long long i = threadIdx.x; i < (long long)in0_shape0 * cells; i += blockDim.x) {
        const int row = i % cells / in2_shape3, column = i % cells % in2_shape3;
        const int y = row * stride - before + ky, x = column * stride - before + kx;
        if (y < 0 || x < 0 || y >= in0_shape2 || x >= in0_shape3) continue;
        const long long plane = i / cells * in0_shape1 + channel;
        sum += in2_p[plane * cells + i % cells]
             * in0_p[(plane * in0_shape2 + y) * in0_shape3 + x];
    }
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0) out1_p[blockIdx.x] = sum;
}
const int stride = data["stride"], before = data["before"];
feats_gradient<<<blocks_for(out0->num), 256>>>(@ARGS, stride, before);
filter_gradient<<<(int)out1->num, 256>>>(@ARGS, stride, before);
""".replace(
    "EACH", grid_stride_loop("(long long)in0_shape0 * in0_shape1 * in0_shape2 * in0_shape3")
)
