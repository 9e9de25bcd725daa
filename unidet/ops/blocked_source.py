"""C++ source of loops over blocked maps. It is compiled after onednn_source.py in one file.

A blocked map is (images, blocks, rows, columns, LANES); its padding channels are 0. Most loops
share an image's rows among the threads, all blocks of a row before the next. So a thread finds in
its own cache what it wrote in the kernel before. Results do not depend on the number of threads.
"""

from __future__ import annotations

POOLS = r"""
namespace {

// Call `work` for each block of each image, in parallel.
template <class Work> void over_blocks(int images, int blocks, Work work) {
    #pragma omp parallel for
    for (long long i = 0; i < (long long)images * blocks; i++) work(i);
}

// Call `work` for each cell of y with its block of x, its lanes, its row and column, in parallel.
template <class Work> void over_cells(const float* x, float* y, int images, int blocks, int rows,
                                      int columns, int rows_out, int columns_out, Work work) {
    #pragma omp parallel for
    for (long long i = 0; i < (long long)images * rows_out * blocks; i++) {
        const int row = i / blocks % rows_out;
        const size_t map = i / blocks / rows_out * blocks + i % blocks;
        const float* source = x + map * rows * columns * LANES;
        float* target = y + (map * rows_out + row) * columns_out * LANES;
        for (int j = 0; j < columns_out; j++, target += LANES) work(source, target, row, j);
    }
}

// Maximum of 3 x 3 cells with stride 2 and padding 1.
void max_pool(const float* x, float* y, int images, int blocks, int rows, int columns,
              int rows_out, int columns_out) {
    over_cells(x, y, images, blocks, rows, columns, rows_out, columns_out,
               [=](const float* source, float* target, int i, int j) {
        std::memcpy(target, source + ((size_t)i * 2 * columns + j * 2) * LANES,
                    sizeof(float) * LANES);
        for (int h = std::max(i * 2 - 1, 0); h < std::min(i * 2 + 2, rows); h++)
        for (int w = std::max(j * 2 - 1, 0); w < std::min(j * 2 + 2, columns); w++) {
            const float* cell = source + ((size_t)h * columns + w) * LANES;
            #pragma omp simd
            for (int c = 0; c < LANES; c++) target[c] = std::max(target[c], cell[c]);
        }
    });
}

// The gradient goes to the first cell that is the maximum.
void max_pool_backward(const float* x, const float* y, const float* grad, float* x_grad,
                       int images, int blocks, int rows, int columns, int rows_out,
                       int columns_out) {
    over_blocks(images, blocks, [=](long long block) {
        const size_t start = block * rows * columns * LANES;
        const size_t start_out = block * rows_out * columns_out * LANES;
        std::memset(x_grad + start, 0, sizeof(float) * rows * columns * LANES);
        for (int i = 0; i < rows_out; i++)
        for (int j = 0; j < columns_out; j++)
        for (int c = 0; c < LANES; c++) {
            const size_t out = start_out + ((size_t)i * columns_out + j) * LANES + c;
            bool given = false;
            for (int h = std::max(i * 2 - 1, 0); h < std::min(i * 2 + 2, rows); h++)
            for (int w = std::max(j * 2 - 1, 0); w < std::min(j * 2 + 2, columns); w++) {
                const size_t cell = start + ((size_t)h * columns + w) * LANES + c;
                if (given || x[cell] != y[out]) continue;
                x_grad[cell] += grad[out];
                given = true;
            }
        }
    });
}

// Mean of side x side cells; a remainder at the right or bottom is dropped.
void mean_pool(const float* x, float* y, int images, int blocks, int rows, int columns,
               int rows_out, int columns_out, int side) {
    const float share = 1.f / (side * side);
    over_cells(x, y, images, blocks, rows, columns, rows_out, columns_out,
               [=](const float* source, float* target, int i, int j) {
        float sum[LANES] = {0};
        for (int h = i * side; h < (i + 1) * side; h++)
        for (int w = j * side; w < (j + 1) * side; w++) {
            const float* cell = source + ((size_t)h * columns + w) * LANES;
            #pragma omp simd
            for (int c = 0; c < LANES; c++) sum[c] += cell[c];
        }
        for (int c = 0; c < LANES; c++) target[c] = sum[c] * share;
    });
}

void mean_pool_backward(const float* grad, float* x_grad, int images, int blocks, int rows,
                        int columns, int rows_out, int columns_out, int side) {
    const float share = 1.f / (side * side);
    over_cells(grad, x_grad, images, blocks, rows_out, columns_out, rows, columns,
               [=](const float* source, float* target, int h, int w) {
        const int i = h / side, j = w / side;
        const float* cell = source + ((size_t)i * columns_out + j) * LANES;
        const float weight = i < rows_out && j < columns_out ? share : 0;
        if (weight == 0) cell = source;
        #pragma omp simd
        for (int c = 0; c < LANES; c++) target[c] = cell[c] * weight;
    });
}

// Nearest-neighbour resize.
void spread(const float* x, float* y, int images, int blocks, int rows, int columns,
            int rows_out, int columns_out) {
    over_cells(x, y, images, blocks, rows, columns, rows_out, columns_out,
               [=](const float* source, float* target, int i, int j) {
        const int h = (long long)i * rows / rows_out, w = (long long)j * columns / columns_out;
        std::memcpy(target, source + ((size_t)h * columns + w) * LANES, sizeof(float) * LANES);
    });
}

void spread_backward(const float* grad, float* x_grad, int images, int blocks, int rows,
                     int columns, int rows_out, int columns_out) {
    over_blocks(images, blocks, [=](long long block) {
        const float* source = grad + block * rows_out * columns_out * LANES;
        float* target = x_grad + block * rows * columns * LANES;
        std::memset(target, 0, sizeof(float) * rows * columns * LANES);
        for (int i = 0; i < rows_out; i++)
        for (int j = 0; j < columns_out; j++, source += LANES) {
            const int h = (long long)i * rows / rows_out, w = (long long)j * columns / columns_out;
            float* cell = target + ((size_t)h * columns + w) * LANES;
            #pragma omp simd
            for (int c = 0; c < LANES; c++) cell[c] += source[c];
        }
    });
}

}  // namespace
"""

INFERENCE = r"""
namespace {

typedef float Sixteen __attribute__((vector_size(64), aligned(4), may_alias));
typedef int Whole __attribute__((vector_size(64)));

// Operations on the sums of a convolution.
struct After {
    const float *scale, *shift, *residual;  // (channels) both, and a map or null
    float slope;
    bool silu, residual_last;

    // 16 channels of `block` at the place `at` of the map, given their sums.
    Sixteen of(Sixteen sums, int block, size_t at) const {
        Sixteen z = sums * *(const Sixteen*)(scale + block * LANES)
                    + *(const Sixteen*)(shift + block * LANES);
        if (residual && !residual_last) z += *(const Sixteen*)(residual + at);
        if (silu) {
            #pragma omp simd
            for (int c = 0; c < LANES; c++)  // -Ofast does not handle infinity
                z[c] = z[c] / (1 + std::exp(std::min(-z[c], 80.f)));
        } else {
            const Sixteen leaked = z * slope;
            z = z > leaked ? z : leaked;
        }
        return residual && residual_last ? z + *(const Sixteen*)(residual + at) : z;
    }
};

// Scale and shift of a batch norm that uses running statistics, rounded as in PyTorch.
void norm_factors(const float* weight, const float* bias, const float* mean,
                  const float* variance, float* scale, float* shift, int channels,
                  double eps) {
    for (int c = 0; c < channels; c++) {
        const float inverse = 1 / std::sqrt(variance[c] + eps);
        scale[c] = weight[c] * inverse;
        shift[c] = bias[c] - mean[c] * scale[c];
    }
}

// Pack filters (filters, channels, side, side) for convolve_packed, zero-padded to multiples
// of LANES.
void pack_filters(const float* from, float* to, int filters, int channels, int side) {
    const int area = side * side, blocks = (channels + LANES - 1) / LANES;
    const size_t all = (size_t)(filters + LANES - 1) / LANES * blocks * area * LANES * LANES;
    std::memset(to, 0, all * sizeof(float));
    #pragma omp parallel for
    for (int o = 0; o < filters; o++)
    for (int c = 0; c < channels; c++)
    for (int k = 0; k < area; k++)
        to[((((size_t)o / LANES * blocks + c / LANES) * area + k) * LANES + c % LANES) * LANES
           + o % LANES] = from[((size_t)o * channels + c) * area + k];
}

// y = f(scale * (x conv filters) + shift + residual), or with the residual added after f. f(z) is
// max(z, slope * z), or SiLU. The residual may be null. Numbers are those of convolve;
// channels are multiples of LANES.
void convolve_packed(const float* x, const float* filters, const float* scale,
                     const float* shift, const float* residual, float* y,
                     const int* numbers, float slope, bool silu, bool residual_last) {
    Convolution it(numbers, false);
    it.weights = described({numbers[4], numbers[1], numbers[7], numbers[7]}, tag::OIhw16i16o);
    FollowUp after;
    after.binary(algorithm::binary_mul, it.channel, scale);
    after.binary(algorithm::binary_add, it.channel, shift);
    if (residual && !residual_last) after.binary(algorithm::binary_add, it.y, residual);
    if (silu) after.function(algorithm::eltwise_swish, 1);
    else if (slope != 1) after.function(algorithm::eltwise_relu, slope);
    if (residual && residual_last) after.binary(algorithm::binary_add, it.y, residual);
    const auto chosen = it.forward(prop_kind::forward_inference, after);
    stream queue(processor());
    after.arguments[DNNL_ARG_SRC] = at(it.x, x);
    after.arguments[DNNL_ARG_WEIGHTS] = at(it.weights, filters);
    after.arguments[DNNL_ARG_DST] = at(it.y, y);
    convolution_forward(chosen).execute(queue, after.arguments);
    queue.wait();
}

// Channels `start` to `start + count` of two interleaved maps of `half` channels.
void interleave(const float* first, const float* second, float* y, int images, int half,
                int cells, int start, int count) {
    constexpr int CELLS = 256;
    const int blocks = (half + LANES - 1) / LANES, blocks_out = (count + LANES - 1) / LANES;
    const int portions = (cells + CELLS - 1) / CELLS;
    #pragma omp parallel for
    for (int i = 0; i < images * portions * blocks_out; i++) {
        // A block takes at most nine channels of each map, which are in at most two blocks.
        const int from = i % blocks_out * LANES, low = (start + from) / 2 / LANES;
        const int high = std::min(low + 1, blocks - 1);
        Whole evens = {}, odds = {}, turns = {};
        Sixteen used = {};
        for (int c = 0; c < LANES; c++) {
            const int channel = start + from + c;
            (channel % 2 ? odds : evens)[c] = channel / 2 - low * LANES;
            turns[c] = channel % 2 ? LANES + c : c;
            used[c] = from + c < count;
        }
        const size_t image = i / blocks_out / portions;
        const int first_cell = i / blocks_out % portions * CELLS;
        const float* a = first + ((image * blocks + low) * cells + first_cell) * LANES;
        const float* b = second + (a - first);
        const size_t next = (size_t)(high - low) * cells * LANES;
        float* target = y + ((image * blocks_out + i % blocks_out) * cells + first_cell) * LANES;
        const auto at = [](const float* place) { return *(const Sixteen*)place; };
        const int end = std::min(cells, first_cell + CELLS);
        for (int cell = first_cell; cell < end; cell++, a += LANES, b += LANES, target += LANES)
            *(Sixteen*)target = used * __builtin_shuffle(
                __builtin_shuffle(at(a), at(a + next), evens),
                __builtin_shuffle(at(b), at(b + next), odds), turns);
    }
}

// (images, blocks, cells, LANES) to (images, cells, channels), the first ones.
void flatten(const float* x, float* y, int images, int blocks, int cells, int channels) {
    #pragma omp parallel for
    for (int i = 0; i < images * cells; i++)
    for (int low = 0; low < channels; low += LANES) {
        const size_t block = (size_t)i / cells * blocks + low / LANES;
        const float* from = x + (block * cells + i % cells) * LANES;
        std::copy(from, from + std::min(LANES, channels - low), y + (size_t)i * channels + low);
    }
}

// Copy rows to a place in longer rows.
void copy_part(const float* x, float* y, long long rows, long long count, long long whole,
               long long start) {
    #pragma omp parallel for
    for (long long i = 0; i < rows; i++)
        std::copy(x + i * count, x + (i + 1) * count, y + i * whole + start);
}

// Bilinear resize with align_corners false.
void stretch(const float* x, float* y, int images, int blocks, int rows, int columns,
             int rows_out, int columns_out) {
    const float high = (float)rows / rows_out, wide = (float)columns / columns_out;
    over_cells(x, y, images, blocks, rows, columns, rows_out, columns_out,
               [=](const float* source, float* target, int i, int j) {
        const float h = std::max((i + 0.5f) * high - 0.5f, 0.f);
        const float w = std::max((j + 0.5f) * wide - 0.5f, 0.f);
        const int top = h, left = w;
        const int bottom = std::min(top + 1, rows - 1), right = std::min(left + 1, columns - 1);
        const auto at = [=](int row, int column) {
            return *(const Sixteen*)(source + ((size_t)row * columns + column) * LANES);
        };
        const float down = h - top, along = w - left;
        const Sixteen upper = at(top, left) * (1 - along) + at(top, right) * along;
        const Sixteen lower = at(bottom, left) * (1 - along) + at(bottom, right) * along;
        *(Sixteen*)target = upper * (1 - down) + lower * down;
    });
}

}  // namespace
"""
