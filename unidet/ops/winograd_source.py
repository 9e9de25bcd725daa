"""C++ source of 3 x 3 convolutions of blocked maps by Winograd's F(2 x 2, 3 x 3).

An output tile of 2 x 2 cells needs 16 products for each pair of channels instead of 36. Input tiles
of 4 x 4 cells and filters are transformed, multiplied elementwise (as matrix products over the
channels), and the sums are transformed back. Rounding errors are about those of direct sums.
Source: Lavin and Gray, arXiv 1509.09308, 4.1. This source is compiled after blocked_source.py in
one file.

Training and large maps use oneDNN's Winograd (transform_source.py), which has gradients and larger
tiles but transforms the filters in every call. Inference transforms the filters once and keeps them
(blocked_inference.py), which is faster on small maps too.
"""

from __future__ import annotations

SOURCE = r"""
namespace {

constexpr int POINTS = 16;               // values of a transformed tile
constexpr int ROWS = 14, PAIR = 2 * LANES;  // tiles and filters whose sums fill the registers
constexpr int TILES = 3 * ROWS;          // per round, so that transformed tiles stay in cache

// y (ROWS, PAIR) = a (ROWS, depth) * b (depth, PAIR).
inline void multiply_tiles(const float* a, const float* b, float* y, int depth, int y_step) {
    Sixteen sums[ROWS][2] = {};
    for (int k = 0; k < depth; k++, b += PAIR) {
        const Sixteen low = *(const Sixteen*)b, high = *(const Sixteen*)(b + LANES);
        #pragma GCC unroll 14
        for (int row = 0; row < ROWS; row++) {
            const float value = a[(size_t)row * depth + k];
            sums[row][0] += value * low;
            sums[row][1] += value * high;
        }
    }
    #pragma GCC unroll 14
    for (int row = 0; row < ROWS; row++)
    for (int half = 0; half < 2; half++)
        *(Sixteen*)(y + (size_t)row * y_step + half * LANES) = sums[row][half];
}

// Transform 16 channels of 4 x 4 cells to POINTS rows of y, `step` apart.
inline void transform_cells(const Sixteen (&cells)[4][4], float* y, size_t step) {
    Sixteen t[4][4];
    for (int j = 0; j < 4; j++) {
        t[0][j] = cells[0][j] - cells[2][j];
        t[1][j] = cells[1][j] + cells[2][j];
        t[2][j] = cells[2][j] - cells[1][j];
        t[3][j] = cells[1][j] - cells[3][j];
    }
    for (int i = 0; i < 4; i++, y += 4 * step) {
        *(Sixteen*)y = t[i][0] - t[i][2];
        *(Sixteen*)(y + step) = t[i][1] + t[i][2];
        *(Sixteen*)(y + 2 * step) = t[i][2] - t[i][1];
        *(Sixteen*)(y + 3 * step) = t[i][1] - t[i][3];
    }
}

// Transform POINTS sums of 16 filters, `step` apart, back to 2 x 2 cells.
inline void transform_sums(const float* sums, size_t step, Sixteen (&cells)[2][2]) {
    Sixteen t[2][4];
    for (int j = 0; j < 4; j++) {
        const auto at = [=](int i) { return *(const Sixteen*)(sums + (i * 4 + j) * step); };
        t[0][j] = at(0) + at(1) + at(2);
        t[1][j] = at(1) - at(2) - at(3);
    }
    for (int i = 0; i < 2; i++) {
        cells[i][0] = t[i][0] + t[i][1] + t[i][2];
        cells[i][1] = t[i][1] - t[i][2] - t[i][3];
    }
}

// Shapes of a convolution; tiles are numbered over images, rows and columns.
struct Tiling {
    int images, channels, rows, columns, filters, high, wide;

    Tiling(const int* n) : images(n[0]), channels(n[1]), rows(n[2]), columns(n[3]), filters(n[4]),
                           high((rows + 1) / 2), wide((columns + 1) / 2) {}
    int count() const { return images * high * wide; }
    int image(int tile) const { return tile / (high * wide); }
    int row(int tile) const { return tile / wide % high * 2; }
    int column(int tile) const { return tile % wide * 2; }
    size_t cell(int image, int block, int blocks, int i, int j) const {
        return ((((size_t)image * blocks + block) * rows + i) * columns + j) * LANES;
    }
};

void gather_tile(const float* x, const Tiling& in, int tile, float* y, size_t step) {
    const int top = in.row(tile) - 1, left = in.column(tile) - 1, blocks = in.channels / LANES;
    const bool whole = top >= 0 && left >= 0 && top + 4 <= in.rows && left + 4 <= in.columns;
    for (int block = 0; block < blocks; block++, y += LANES) {
        const float* source = x + in.cell(in.image(tile), block, blocks, 0, 0);
        const auto at = [=](int i, int j) {
            return *(const Sixteen*)(source + ((top + i) * in.columns + left + j) * LANES);
        };
        Sixteen cells[4][4] = {};
        if (whole) {
            for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) cells[i][j] = at(i, j);
        } else {
            for (int i = std::max(-top, 0); i < std::min(4, in.rows - top); i++)
            for (int j = std::max(-left, 0); j < std::min(4, in.columns - left); j++)
                cells[i][j] = at(i, j);
        }
        transform_cells(cells, y, step);
    }
}

void scatter_tile(const float* sums, const Tiling& out, int tile, size_t step, const After& after,
                  float* y) {
    const int top = out.row(tile), left = out.column(tile), blocks = out.filters / LANES;
    for (int block = 0; block < blocks; block++) {
        Sixteen cells[2][2];
        transform_sums(sums + block * LANES, step, cells);
        for (int i = 0; i < std::min(2, out.rows - top); i++)
        for (int j = 0; j < std::min(2, out.columns - left); j++) {
            const size_t at = out.cell(out.image(tile), block, blocks, top + i, left + j);
            *(Sixteen*)(y + at) = after.of(cells[i][j], block, at);
        }
    }
}

// Transform filters (filters, channels, 3, 3) to (POINTS, filters / PAIR, channels, PAIR).
void transform_filters(const float* from, float* to, int filters, int channels) {
    #pragma omp parallel for
    for (int o = 0; o < filters; o++)
    for (int c = 0; c < channels; c++) {
        const float* tap = from + ((size_t)o * channels + c) * 9;
        float* target = to + ((size_t)o / PAIR * channels + c) * PAIR + o % PAIR;
        float t[4][3];
        for (int j = 0; j < 3; j++) {
            const float sum = tap[j] + tap[6 + j];
            t[0][j] = tap[j], t[1][j] = (sum + tap[3 + j]) / 2, t[2][j] = (sum - tap[3 + j]) / 2;
            t[3][j] = tap[6 + j];
        }
        for (int i = 0; i < 4; i++) {
            const float sum = t[i][0] + t[i][2];
            const float row[4] = {t[i][0], (sum + t[i][1]) / 2, (sum - t[i][1]) / 2, t[i][2]};
            for (int j = 0; j < 4; j++)
                target[(size_t)(i * 4 + j) * filters * channels] = row[j];
        }
    }
}

// As convolve_packed with stride 1 and padding 1, with transformed filters.
void winograd(const float* x, const float* filters, const float* scale,
              const float* shift, const float* residual, float* y, const int* numbers,
              float slope, bool silu, bool residual_last) {
    const Tiling tiles(numbers);
    const After after{scale, shift, residual, slope, silu, residual_last};
    const size_t step = (size_t)TILES * tiles.channels, step_out = (size_t)TILES * tiles.filters;
    #pragma omp parallel
    {
        std::vector<float> cells(POINTS * step), sums(POINTS * step_out);
        #pragma omp for schedule(dynamic)
        for (int first = 0; first < tiles.count(); first += TILES) {
            const int used = std::min(TILES, tiles.count() - first);
            for (int t = 0; t < used; t++)
                gather_tile(x, tiles, first + t, &cells[(size_t)t * tiles.channels], step);
            for (int point = 0; point < POINTS; point++)
            for (int o = 0; o < tiles.filters; o += PAIR)
            for (int t = 0; t < used; t += ROWS)
                multiply_tiles(&cells[point * step + (size_t)t * tiles.channels],
                               filters + ((size_t)point * tiles.filters + o) * tiles.channels,
                               &sums[point * step_out + (size_t)t * tiles.filters + o],
                               tiles.channels, tiles.filters);
            for (int t = 0; t < used; t++)
                scatter_tile(&sums[(size_t)t * tiles.filters], tiles, first + t, step_out, after,
                             y);
        }
    }
}

}  // namespace
"""
