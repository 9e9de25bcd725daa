"""CUDA source of deformable attention (see deformable_attention.py)."""

from __future__ import annotations

from unidet.ops.kernels import GRID_HEADER, grid_stride_loop

# One thread per output value.
FORWARD = r"""
__global__ static void deformable_forward(@ARGS_DEF) {
    const int heads = in0_shape2, width = in0_shape3, points = in1_shape3;
    const int per_level = points / in3_shape0;
    EACH {
        const int d = i % width, head = i / width % heads;
        const long long row = i / width / heads, first = (row * heads + head) * points;
        const float* values =
            in0_p + (row / in1_shape1 * in0_shape1 * heads + head) * width + d;
        float sum = 0.f;
        for (int k = 0; k < points; k++) {
            const int* level = in3_p + 3 * (k / per_level);
            const Point point(in1_p + 2 * (first + k), level);
            for (int corner = 0; corner < 4 && point.touches; corner++) {
                const int cell = point.cell(corner, level);
                if (cell < 0) continue;
                const float share = point.share_down(corner) * point.share_right(corner);
                sum += in2_p[first + k] * share * values[(long long)cell * heads * width];
            }
        }
        out0_p[i] = sum;
    }
}
deformable_forward<<<blocks_for(out0->num), 256>>>(@ARGS);
""".replace(
    "EACH", grid_stride_loop("(long long)out0_shape0 * out0_shape1 * out0_shape2 * out0_shape3")
)

# One thread per sampled point. Several points may read one cell, so the gradients of values are
# added atomically.
BACKWARD = r"""
__global__ static void deformable_backward(@ARGS_DEF) {
    const int heads = in0_shape2, width = in0_shape3, points = in1_shape3;
    const int per_level = points / in3_shape0;
    EACH {
        const int k = i % points, head = i / points % heads;
        const long long row = i / points / heads;
        const long long start = (row / in1_shape1 * in0_shape1 * heads + head) * width;
        const float* grad = in4_p + (row * heads + head) * width;
        const int* level = in3_p + 3 * (k / per_level);
        const Point point(in1_p + 2 * i, level);
        float along_x = 0.f, along_y = 0.f, sample = 0.f;
        for (int corner = 0; corner < 4 && point.touches; corner++) {
            const int cell = point.cell(corner, level);
            if (cell < 0) continue;
            const long long offset = start + (long long)cell * heads * width;
            const float down = point.share_down(corner), right = point.share_right(corner);
            const float weight = in2_p[i] * down * right;
            float product = 0.f;
            for (int d = 0; d < width; d++) {
                product += grad[d] * in0_p[offset + d];
                atomicAdd(out0_p + offset + d, weight * grad[d]);
            }
            sample += down * right * product;
            along_x += (corner % 2 ? down : -down) * product;
            along_y += (corner / 2 ? right : -right) * product;
        }
        out1_p[2 * i] = in2_p[i] * along_x * level[1];
        out1_p[2 * i + 1] = in2_p[i] * along_y * level[0];
        out2_p[i] = sample;
    }
}
cudaMemsetAsync(out0_p, 0, out0->size);
deformable_backward<<<blocks_for(out2->num), 256>>>(@ARGS);
""".replace(
    "EACH", grid_stride_loop("(long long)in2_shape0 * in2_shape1 * in2_shape2 * in2_shape3")
)

HEADER = GRID_HEADER
