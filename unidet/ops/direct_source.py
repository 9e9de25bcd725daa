"""C++ source of convolutions in inference that oneDNN is slower at, with direct sums.

Filters of one cell are matrix products of cells and filters. With few channels, or the three of an
image, oneDNN takes up to twice as long. Depthwise filters are here too. It is compiled after
blocked_source.py in one file.
"""

from __future__ import annotations

SOURCE = r"""
namespace {

constexpr int CELLS = 14;            // whose sums of two blocks fill the registers
constexpr int IN_CACHE = 16 * 1024;  // numbers of a map that all filters read before they go on

// From sums to y, whose first cell is at `start` and whose blocks are `step` apart; the first cells
// may be skipped.
template <int CELLS, int BLOCKS>
inline void finish(const Sixteen (&sums)[CELLS][BLOCKS], const After& after, int block,
                   size_t start, size_t step, int skipped, float* y) {
    #pragma GCC unroll 14
    for (int row = 0; row < CELLS; row++)
    for (int b = 0; b < BLOCKS; b++) {
        if (row < skipped) continue;
        const size_t at = start + b * step + row * LANES;
        *(Sixteen*)(y + at) = after.of(sums[row][b], block + b, at);
    }
}

// A matrix product of a map's cells with filters of one cell.
struct Product {
    const float *x, *filters;  // of one image
    int cells, channels;
    After after;
    float* y;

    // CELLS cells of BLOCKS blocks; those from `cell` on are written. `start` is that of y's block.
    template <int CELLS, int BLOCKS>
    void compute(int first, int cell, int block, size_t start) const {
        const int depth = (channels + LANES - 1) / LANES;
        const float* taps = filters + (size_t)block * depth * LANES * LANES;
        Sixteen sums[CELLS][BLOCKS] = {};
        for (int low = 0; low < channels; low += LANES) {
            const float* source = x + ((size_t)low / LANES * cells + first) * LANES;
            for (int c = 0; c < std::min(LANES, channels - low); c++, taps += LANES) {
                Sixteen by[BLOCKS];
                for (int b = 0; b < BLOCKS; b++)
                    by[b] = *(const Sixteen*)(taps + (size_t)b * depth * LANES * LANES);
                #pragma GCC unroll 14
                for (int row = 0; row < CELLS; row++)
                for (int b = 0; b < BLOCKS; b++) sums[row][b] += source[row * LANES + c] * by[b];
            }
        }
        finish(sums, after, block, start + first * LANES, (size_t)cells * LANES, cell - first, y);
    }

    template <int BLOCKS> void over(int cell, int end, int block, size_t start) const {
        for (; cells < CELLS && cell < end; cell++) compute<1, BLOCKS>(cell, cell, block, start);
        for (; cell < end; cell += CELLS)  // the last ones again where fewer are left
            compute<CELLS, BLOCKS>(std::min(cell, cells - CELLS), cell, block, start);
    }
};

// As convolve_packed with filters of one cell and stride 1; channels are those without padding.
void multiply_packed(const float* x, const float* filters, const float* scale, const float* shift,
                     const float* residual, float* y, const int* n, float slope, bool silu,
                     bool residual_last) {
    const int cells = n[2] * n[3], depth = (n[1] + LANES - 1) / LANES, blocks = n[4] / LANES;
    const int most = std::max(1, IN_CACHE / (depth * CELLS * LANES)) * CELLS;
    const int portions = (cells + most - 1) / most, pairs = (blocks + 1) / 2;
    #pragma omp parallel for
    for (int i = 0; i < n[0] * portions * pairs; i++) {
        const size_t image = i / pairs / portions;
        const int block = i % pairs * 2, cell = i / pairs % portions * most;
        const Product it{x + image * depth * cells * LANES, filters, cells, n[1],
                         {scale, shift, residual, slope, silu, residual_last}, y};
        const size_t start = (image * blocks + block) * cells * LANES;
        const int end = std::min(cells, cell + most);
        if (block + 1 == blocks) it.over<1>(cell, end, block, start);
        else it.over<2>(cell, end, block, start);
    }
}

// Some rows of a plain image between zeros, convolved to one row of y.
struct ImageRow {
    const float *lines, *filters;  // (channels, side, columns), and as packed for convolve_packed
    int channels, side, stride, columns, columns_out;
    After after;
    float* y;

    template <int CELLS, int BLOCKS>
    void compute(int first, int cell, int block, size_t start, size_t step) const {
        const size_t area = (size_t)side * side * LANES * LANES;
        Sixteen sums[CELLS][BLOCKS] = {};
        for (int c = 0; c < channels; c++)
        for (int k = 0; k < side * side; k++) {
            const float* source = lines + ((size_t)c * side + k / side) * columns + k % side;
            const float* taps = filters + block * area + ((size_t)k * LANES + c) * LANES;
            Sixteen by[BLOCKS];
            for (int b = 0; b < BLOCKS; b++) by[b] = *(const Sixteen*)(taps + b * area);
            #pragma GCC unroll 14
            for (int row = 0; row < CELLS; row++)
            for (int b = 0; b < BLOCKS; b++)
                sums[row][b] += source[(size_t)(first + row) * stride] * by[b];
        }
        finish(sums, after, block, start + first * LANES, step, cell - first, y);
    }

    template <int BLOCKS> void over(int block, size_t start, size_t step) const {
        int cell = 0;
        for (; columns_out < CELLS && cell < columns_out; cell++)
            compute<1, BLOCKS>(cell, cell, block, start, step);
        for (; cell < columns_out; cell += CELLS)
            compute<CELLS, BLOCKS>(std::min(cell, columns_out - CELLS), cell, block, start, step);
    }
};

// As convolve_packed, of plain images (images, channels, rows, columns) of at most LANES channels.
void convolve_image(const float* x, const float* filters, const float* scale, const float* shift,
                    const float* residual, float* y, const int* n, float slope, bool silu,
                    bool residual_last) {
    const int channels = n[1], side = n[7], stride = n[8], before = n[9], blocks = n[4] / LANES;
    const int columns = (n[6] - 1) * stride + side;
    const size_t copied = sizeof(float) * std::max(std::min(n[3], columns - before), 0);
    const size_t step = (size_t)n[5] * n[6] * LANES;
    #pragma omp parallel
    {
        std::vector<float> lines((size_t)channels * side * columns);
        #pragma omp for
        for (int i = 0; i < n[0] * n[5]; i++) {
            const size_t image = i / n[5], row = i % n[5];
            for (int line = 0; line < channels * side; line++) {
                const int from = (int)row * stride + line % side - before;
                float* to = lines.data() + (size_t)line * columns + before;
                if (from < 0 || from >= n[2]) std::memset(to, 0, copied);
                else std::memcpy(
                    to, x + ((image * channels + line / side) * n[2] + from) * n[3], copied);
            }
            const ImageRow it{lines.data(), filters, channels, side, stride, columns, n[6],
                              {scale, shift, residual, slope, silu, residual_last}, y};
            for (int block = 0; block < blocks; block += 2) {
                const size_t start = (image * blocks + block) * step + row * n[6] * LANES;
                if (block + 1 == blocks) it.over<1>(block, start, step);
                else it.over<2>(block, start, step);
            }
        }
    }
}

// The first place of a cache line from `place` on.
float* aligned(float* place) {
    return place + (LANES - (size_t)place / sizeof(float) % LANES) % LANES;
}

// A convolution with one filter per channel, of 16 channels in `columns` columns, zero-padded.
struct Depthwise {
    int columns, columns_out, side, stride;
    const Sixteen* taps;
    Sixteen scale, shift;
    float slope;

    // WIDTH cells at once, whose sums do not wait for each other; a SIDE unrolls the taps.
    template <int SIDE, int WIDTH> void cells(const float* x, float* y) const {
        const int reach = SIDE ? SIDE : side;
        const Sixteen* tap = taps;
        Sixteen sums[WIDTH] = {};
        for (int h = 0; h < reach; h++)
        for (int w = 0; w < reach; w++, tap++)
        for (int i = 0; i < WIDTH; i++)
            sums[i] += *tap * *(const Sixteen*)(x + ((size_t)h * columns + w + i * stride) * LANES);
        for (int i = 0; i < WIDTH; i++) {
            const Sixteen z = sums[i] * scale + shift, leaked = z * slope;
            *(Sixteen*)(y + i * LANES) = z > leaked ? z : leaked;
        }
    }

    // Some rows of y; the last cells of a row again where fewer are left.
    template <int SIDE, int WIDTH> void rows(const float* x, int count, float* y) const {
        for (int i = 0; i < count; i++, x += (size_t)stride * columns * LANES)
        for (int j = 0; j < columns_out; j += WIDTH) {
            const int first = std::min(j, columns_out - WIDTH);
            cells<SIDE, WIDTH>(x + (size_t)first * stride * LANES,
                               y + ((size_t)i * columns_out + first) * LANES);
        }
    }

    template <int SIDE> void rows(const float* x, int count, float* y) const {
        if (columns_out >= 8) rows<SIDE, 8>(x, count, y);
        else if (columns_out >= 4) rows<SIDE, 4>(x, count, y);
        else rows<SIDE, 1>(x, count, y);
    }
};

// y = max(z, slope * z) with z = scale * (x conv taps) + shift, one filter per channel; taps are
// (blocks, side, side, LANES). Some rows at a time are copied between zeros, where no tap is
// outside.
void depthwise_packed(const float* x, const float* taps, const float* scale, const float* shift,
                      float* y, const int* n, float slope) {
    constexpr int ROWS = 8;
    const int blocks = n[1] / LANES, side = n[7], stride = n[8], before = n[9];
    const int portions = (n[5] + ROWS - 1) / ROWS, columns = (n[6] - 1) * stride + side;
    const size_t row = (size_t)columns * LANES;
    const int copied = std::max(std::min(n[3], columns - before), 0);
    #pragma omp parallel
    {
        std::vector<float> room(((ROWS - 1) * stride + side) * row + LANES);
        float* const framed = aligned(room.data());
        #pragma omp for
        for (int i = 0; i < n[0] * blocks * portions; i++) {
            const int block = i % blocks, top = i / blocks % portions * ROWS;
            const int map = i / blocks / portions * blocks + block;
            const int count = std::min(ROWS, n[5] - top);
            for (int h = 0; h < (count - 1) * stride + side; h++) {
                const int from = top * stride + h - before;
                float* to = framed + h * row + before * LANES;
                const size_t size = sizeof(float) * copied * LANES;
                if (from < 0 || from >= n[2]) std::memset(to, 0, size);
                else std::memcpy(to, x + ((size_t)map * n[2] + from) * n[3] * LANES, size);
            }
            const size_t first = (size_t)block * LANES;
            const Depthwise it{columns, n[6], side, stride,
                               (const Sixteen*)(taps + first * side * side),
                               *(const Sixteen*)(scale + first),
                               *(const Sixteen*)(shift + first), slope};
            float* target = y + ((size_t)map * n[5] + top) * n[6] * LANES;
            if (side == 3) it.rows<3>(framed, count, target);
            else if (side == 5) it.rows<5>(framed, count, target);
            else it.rows<0>(framed, count, target);
        }
    }
}

}  // namespace
"""
