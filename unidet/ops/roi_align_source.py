"""C++ and CUDA source of RoIAlign (see roi_align.py).

On a CPU, `AxisWeights` holds the sparse weights of each bin along one axis of one RoI: first cell,
number of cells, one weight per cell. A task is an image and a block of LANES channels. Tasks write
disjoint memory, so results do not depend on the number of threads.
"""

from __future__ import annotations

CPU_HEADER = r"""
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace jittor {
namespace unidet_roi_align {

constexpr int LANES = 16;

struct AxisWeights {
    std::vector<int> first, count, offset;
    std::vector<float> weights;
    int low, high;  // cells [low, high) are all that any bin touches
};

struct Roi {
    int index;
    AxisWeights rows, columns;
};

inline AxisWeights axis_weights(
    float from, float to, int bins, int cells, int ratio, bool aligned
) {
    AxisWeights axis;
    axis.low = cells;
    axis.high = 0;
    float extent = to - from;
    if (!aligned) extent = std::max(extent, 1.f);
    const float bin = extent / bins;
    const int samples = ratio > 0 ? ratio : (int)std::ceil(bin);
    std::vector<float> dense(cells);
    for (int p = 0; p < bins; p++) {
        int first = cells, last = -1;
        for (int i = 0; i < samples; i++) {
            float at = from + p * bin + (i + .5f) * bin / samples;
            if (at < -1.f || at > cells) continue;
            at = std::max(at, 0.f);
            int below = std::min((int)at, cells - 1);
            int above = std::min(below + 1, cells - 1);
            const float share = at - below;
            dense[below] += (1.f - share) / samples;
            dense[above] += share / samples;
            first = std::min(first, below);
            last = std::max(last, above);
        }
        const int count = last < first ? 0 : last - first + 1;
        axis.first.push_back(count ? first : 0);
        axis.count.push_back(count);
        axis.offset.push_back(axis.weights.size());
        for (int c = first; c <= last; c++) {
            axis.weights.push_back(dense[c]);
            dense[c] = 0.f;
        }
        if (count) {
            axis.low = std::min(axis.low, first);
            axis.high = std::max(axis.high, last + 1);
        }
    }
    return axis;
}

// Per image, the rois that touch it.
inline std::vector<std::vector<Roi>> plan(
    const float* rois, int roi_count, int images, int height, int width, int bins_h, int bins_w,
    float scale, int ratio, bool aligned
) {
    std::vector<std::vector<Roi>> by_image(images);
    const float shift = aligned ? .5f : 0.f;
    for (int r = 0; r < roi_count; r++) {
        const float* roi = rois + r * 5;
        const int image = (int)roi[0];
        if (image < 0 || image >= images) continue;
        Roi entry;
        entry.index = r;
        entry.rows = axis_weights(
            roi[2] * scale - shift, roi[4] * scale - shift, bins_h, height, ratio, aligned);
        entry.columns = axis_weights(
            roi[1] * scale - shift, roi[3] * scale - shift, bins_w, width, ratio, aligned);
        if (entry.rows.low < entry.rows.high && entry.columns.low < entry.columns.high)
            by_image[image].push_back(std::move(entry));
    }
    return by_image;
}

// into += weight * from, one lane per channel.
inline void add_scaled(float* __restrict__ into, const float* __restrict__ from, float weight) {
    #pragma omp simd
    for (int c = 0; c < LANES; c++) into[c] += weight * from[c];
}

// (channels, cells) -> (cells, LANES), missing channels 0; and back.
inline void to_lanes(const float* from, float* into, int channels, int cells) {
    for (int i = 0; i < cells; i++)
        for (int c = 0; c < LANES; c++)
            into[i * LANES + c] = c < channels ? from[(size_t)c * cells + i] : 0.f;
}

inline void from_lanes(const float* from, float* into, int channels, int cells) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < cells; i++) into[(size_t)c * cells + i] = from[i * LANES + c];
}

}  // namespace unidet_roi_align
}  // namespace jittor
"""

_CPU_PLAN = r"""
    using namespace unidet_roi_align;
    const int bins_h = data["bins_h"], bins_w = data["bins_w"], bins = bins_h * bins_w;
    const int height = MAP_shape2, width = MAP_shape3, cells = height * width;
    const auto by_image = plan(
        in1_p, in1_shape0, MAP_shape0, height, width, bins_h, bins_w,
        data["scale"], data["ratio"], data["aligned"] != 0);
    const int all_channels = MAP_shape1 * (MAP_BLOCKED ? LANES : 1);
    const int blocks = (all_channels + LANES - 1) / LANES;
"""

_CPU_FORWARD = (
    _CPU_PLAN.replace("MAP_shape", "in0_shape")
    + r"""
    const size_t region = (size_t)all_channels * bins;
    std::vector<bool> touches(in1_shape0);
    for (const auto& rois : by_image)
        for (const Roi& roi : rois) touches[roi.index] = true;
    for (int r = 0; r < in1_shape0; r++)
        if (!touches[r]) std::fill_n(out_p + r * region, region, 0.f);
    #pragma omp parallel
    {
        std::vector<float> map_room(MAP_BLOCKED ? 0 : cells * LANES), half(bins_h * width * LANES);
        std::vector<float> pooled_room(POOLED_BLOCKED ? 0 : bins * LANES);
        #pragma omp for collapse(2) schedule(dynamic)
        for (int image = 0; image < in0_shape0; image++)
        for (int block = 0; block < blocks; block++) {
            if (by_image[image].empty()) continue;
            const int start = block * LANES, channels = std::min<int>(LANES, all_channels - start);
            const float* feats = in0_p + ((size_t)image * all_channels + start) * cells;
            if (!MAP_BLOCKED) {
                to_lanes(feats, map_room.data(), channels, cells);
                feats = map_room.data();
            }
            for (const Roi& roi : by_image[image]) {
                const AxisWeights &rows = roi.rows, &columns = roi.columns;
                float* target = out_p + ((size_t)roi.index * all_channels + start) * bins;
                float* pooled = POOLED_BLOCKED ? target : pooled_room.data();
                for (int p = 0; p < bins_h; p++)
                for (int x = columns.low; x < columns.high; x++) {
                    float sum[LANES] = {0};
                    const float* weights = rows.weights.data() + rows.offset[p];
                    const float* from = feats + (rows.first[p] * width + x) * LANES;
                    for (int k = 0; k < rows.count[p]; k++)
                        add_scaled(sum, from + k * width * LANES, weights[k]);
                    std::memcpy(half.data() + (p * width + x) * LANES, sum, sizeof(sum));
                }
                for (int p = 0; p < bins_h; p++)
                for (int q = 0; q < bins_w; q++) {
                    float sum[LANES] = {0};
                    const float* weights = columns.weights.data() + columns.offset[q];
                    const float* from = half.data() + (p * width + columns.first[q]) * LANES;
                    for (int k = 0; k < columns.count[q]; k++)
                        add_scaled(sum, from + k * LANES, weights[k]);
                    std::memcpy(pooled + (p * bins_w + q) * LANES, sum, sizeof(sum));
                }
                if (!POOLED_BLOCKED) from_lanes(pooled, target, channels, bins);
            }
        }
    }
"""
)

_CPU_BACKWARD = (
    _CPU_PLAN.replace("MAP_shape", "out_shape")
    + r"""
    #pragma omp parallel
    {
        std::vector<float> map_room(MAP_BLOCKED ? 0 : cells * LANES), half(bins_h * width * LANES);
        std::vector<float> pooled_room(POOLED_BLOCKED ? 0 : bins * LANES);
        #pragma omp for collapse(2) schedule(dynamic)
        for (int image = 0; image < out_shape0; image++)
        for (int block = 0; block < blocks; block++) {
            const int start = block * LANES, channels = std::min<int>(LANES, all_channels - start);
            float* target = out_p + ((size_t)image * all_channels + start) * cells;
            float* feats = MAP_BLOCKED ? target : map_room.data();
            std::fill(feats, feats + (size_t)cells * LANES, 0.f);
            for (const Roi& roi : by_image[image]) {
                const AxisWeights &rows = roi.rows, &columns = roi.columns;
                const float* pooled = in0_p + ((size_t)roi.index * all_channels + start) * bins;
                if (!POOLED_BLOCKED) {
                    to_lanes(pooled, pooled_room.data(), channels, bins);
                    pooled = pooled_room.data();
                }
                for (int p = 0; p < bins_h; p++) {
                    std::fill(half.begin() + (p * width + columns.low) * LANES,
                              half.begin() + (p * width + columns.high) * LANES, 0.f);
                    for (int q = 0; q < bins_w; q++) {
                        const float* weights = columns.weights.data() + columns.offset[q];
                        float* into = half.data() + (p * width + columns.first[q]) * LANES;
                        for (int k = 0; k < columns.count[q]; k++)
                            add_scaled(into + k * LANES,
                                       pooled + (p * bins_w + q) * LANES, weights[k]);
                    }
                    const float* weights = rows.weights.data() + rows.offset[p];
                    for (int k = 0; k < rows.count[p]; k++)
                    for (int x = columns.low; x < columns.high; x++)
                        add_scaled(feats + ((rows.first[p] + k) * width + x) * LANES,
                                   half.data() + (p * width + x) * LANES, weights[k]);
                }
            }
            if (!MAP_BLOCKED) from_lanes(feats, target, channels, cells);
        }
    }
"""
)


def cpu_kernels(map_blocked: bool, pooled_blocked: bool) -> tuple[str, str]:
    """Forward and backward source for blocked or plain maps and for blocked or plain features."""
    words = {True: "true", False: "false"}
    layout = f"constexpr bool MAP_BLOCKED = {words[map_blocked]};\n"
    layout += f"constexpr bool POOLED_BLOCKED = {words[pooled_blocked]};\n"
    return layout + _CPU_FORWARD, layout + _CPU_BACKWARD


CUDA_HEADER = r"""
#include <cmath>

namespace jittor {

struct RoiGrid {
    int image, samples_h, samples_w;
    float top, left, bin_h, bin_w;
};

__device__ inline RoiGrid roi_grid(
    const float* roi, float scale, int ratio, int aligned, int bins_h, int bins_w
) {
    RoiGrid grid;
    const float shift = aligned ? .5f : 0.f;
    grid.image = (int)roi[0];
    grid.left = roi[1] * scale - shift;
    grid.top = roi[2] * scale - shift;
    float width = roi[3] * scale - shift - grid.left, height = roi[4] * scale - shift - grid.top;
    if (!aligned) {
        width = fmaxf(width, 1.f);
        height = fmaxf(height, 1.f);
    }
    grid.bin_h = height / bins_h;
    grid.bin_w = width / bins_w;
    grid.samples_h = ratio > 0 ? ratio : (int)ceilf(grid.bin_h);
    grid.samples_w = ratio > 0 ? ratio : (int)ceilf(grid.bin_w);
    return grid;
}

struct Tap {
    int below, above;
    float share;  // of the cell above; negative where the sample lies outside
};

__device__ inline Tap tap(float at, int cells) {
    if (at < -1.f || at > cells) return {0, 0, -1.f};
    at = fmaxf(at, 0.f);
    const int below = min((int)at, cells - 1), above = min(below + 1, cells - 1);
    return {below, above, at - below};
}

}  // namespace jittor
"""

_CUDA_DEFINITION = r"""(@ARGS_DEF, long long total, float scale, int ratio, int aligned) {
    const long long step = (long long)blockDim.x * gridDim.x;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += step) {
        const int q = i % POOLED_shape3, p = i / POOLED_shape3 % POOLED_shape2;
        const int channel = i / POOLED_shape3 / POOLED_shape2 % POOLED_shape1;
        const int r = i / POOLED_shape3 / POOLED_shape2 / POOLED_shape1;
        const RoiGrid grid = roi_grid(
            in1_p + r * 5, scale, ratio, aligned, POOLED_shape2, POOLED_shape3);
        const float count = fmaxf((float)grid.samples_h * grid.samples_w, 1.f);
        const long long plane = ((long long)grid.image * FEATS_shape1 + channel) * FEATS_shape2;
        const bool valid = grid.image >= 0 && grid.image < FEATS_shape0;
        float sum = 0.f;
        for (int iy = 0; valid && iy < grid.samples_h; iy++)
        for (int ix = 0; ix < grid.samples_w; ix++) {
            const Tap y = tap(grid.top + p * grid.bin_h + (iy + .5f) * grid.bin_h / grid.samples_h,
                              FEATS_shape2);
            const Tap x = tap(grid.left + q * grid.bin_w + (ix + .5f) * grid.bin_w / grid.samples_w,
                              FEATS_shape3);
            if (y.share < 0.f || x.share < 0.f) continue;
            FEATS_type* below = FEATS_p + (plane + y.below) * FEATS_shape3;
            FEATS_type* above = FEATS_p + (plane + y.above) * FEATS_shape3;
            BODY
        }
        FINISH
    }
}
"""

_CUDA_LAUNCH = r"""
const long long total = POOLED->num;
const int blocks = (int)std::min<long long>(total / 256 + 1, 65535);
KERNEL<<<blocks, 256>>>(
    @ARGS, total, (float)data["scale"], (int)data["ratio"], (int)data["aligned"]);
"""


def _cuda_source(kernel: str, feats: str, pooled: str, body: str, finish: str, before: str) -> str:
    definition = _CUDA_DEFINITION.replace("BODY", body).replace("FINISH", finish)
    source = f"__global__ static void {kernel}{definition}{before}{_CUDA_LAUNCH}"
    return source.replace("KERNEL", kernel).replace("FEATS", feats).replace("POOLED", pooled)


CUDA_FORWARD = _cuda_source(
    "roi_align_forward",
    feats="in0",
    pooled="out0",
    body="""sum += (1.f - y.share) * ((1.f - x.share) * below[x.below] + x.share * below[x.above])
                 + y.share * ((1.f - x.share) * above[x.below] + x.share * above[x.above]);""",
    finish="out0_p[i] = sum / count;",
    before="",
)

CUDA_BACKWARD = _cuda_source(
    "roi_align_backward",
    feats="out0",
    pooled="in0",
    body="""const float share = in0_p[i] / count;
            atomicAdd(below + x.below, share * (1.f - y.share) * (1.f - x.share));
            atomicAdd(below + x.above, share * (1.f - y.share) * x.share);
            atomicAdd(above + x.below, share * y.share * (1.f - x.share));
            atomicAdd(above + x.above, share * y.share * x.share);""",
    finish="",
    before="cudaMemsetAsync(out0_p, 0, out0->size);\n",
)
