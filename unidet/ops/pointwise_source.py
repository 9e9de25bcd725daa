"""C++ source of convolutions with filters of one cell, of blocked maps, without gradients.

They are matrix products of cells and filters. oneDNN takes up to twice as long for few channels,
where what surrounds the sums is a large part. It is compiled after blocked_source.py in one file.
"""

from __future__ import annotations

SOURCE = r"""
namespace {

constexpr int CELLS = 14;            // whose sums of two blocks fill the registers
constexpr int IN_CACHE = 64 * 1024;  // numbers of a map that all filters read before they go on

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
        #pragma GCC unroll 14
        for (int row = 0; row < CELLS; row++)
        for (int b = 0; b < BLOCKS; b++) {
            if (first + row < cell) continue;
            const size_t at = start + ((size_t)b * cells + first + row) * LANES;
            *(Sixteen*)(y + at) = after.of(sums[row][b], block + b, at);
        }
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

}  // namespace
"""
